use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, new_null_array};
use proptest::prelude::*;

use super::*;

fn step(bytes: u64) -> TruncateStack {
    TruncateStack::new(&TruncateStackConfig { max_bytes: StackBudget::try_from(ByteSize(bytes)).unwrap() })
}

/// Writes a line for each number.
fn frames(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

/// Cuts to 1 KiB; every one of `kept` is still there, once, in order, and a marker as well.
fn check(stack: &str, kept: &[&str]) {
    assert!(stack.len() > 2048);
    let out = step(1024).truncate(stack).into_owned();
    let mut at = 0;
    for line in kept {
        let found = out[at..].find(line).unwrap_or_else(|| panic!("no `{line}` in order in:\n{out}"));
        at += found + line.len();
    }
    assert!(out.len() <= 1024 && out.len() > 512, "{} bytes", out.len());
    assert!(out.contains(" frames omitted …"), "{out}");
    assert_eq!(step(1024).truncate(&out), out);
}

#[test]
fn java_keeps_every_cause() {
    let at = |name: &'static str| move |n: usize| format!("\tat com.example.{name}.call{n}({name}.java:{n})\n");
    let stack = format!(
        "java.lang.RuntimeException: outer\n{}\tSuppressed: java.io.IOException: close\n{}\t... 3 more\nCaused by: java.sql.SQLException: middle\n{}Caused by: java.net.ConnectException: refused\n{}",
        frames(30, at("Outer")),
        frames(30, |n| format!("\t\tat com.example.Closer.call{n}(Closer.java:{n})\n")),
        frames(30, at("Middle")),
        frames(30, at("Root"))
    );
    check(
        &stack,
        &[
            "java.lang.RuntimeException: outer\n\tat com.example.Outer.call0",
            "\tSuppressed: java.io.IOException: close\n",
            "Caused by: java.sql.SQLException: middle\n\tat com.example.Middle.call0",
            "Caused by: java.net.ConnectException: refused\n\tat com.example.Root.call0",
        ],
    );
}

#[test]
fn python_keeps_both_exceptions_and_the_most_recent_calls() {
    let file = |name: &'static str| {
        move |n: usize| format!("  File \"/app/{name}.py\", line {n}, in f{n}\n    return g{n}()\n           ^^^^^\n")
    };
    let stack = format!(
        "Traceback (most recent call last):\n{}ValueError: root\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n{}app.errors.Failed: final",
        frames(20, file("low")),
        frames(20, file("high"))
    );
    check(
        &stack,
        &[
            "Traceback (most recent call last):\n",
            "low.py\", line 19, in f19\n    return g19()\n           ^^^^^\nValueError: root\n",
            "The above exception was the direct cause",
            "Traceback (most recent call last):\n",
            "high.py\", line 19",
            "app.errors.Failed: final",
        ],
    );
}

#[test]
fn javascript_keeps_the_cause_in_brackets() {
    let at = |name: &'static str| move |n: usize| format!("    at {name}{n} (/app/{name}.js:{n}:5)\n");
    let stack = format!(
        "Error: outer\n{}    ... 4 lines matching cause stack trace ...\n  [cause]: TypeError: root\n{}",
        frames(40, at("outer")),
        frames(40, at("root"))
    );
    check(&stack, &["Error: outer\n    at outer0", "  [cause]: TypeError: root\n    at root0"]);
}

#[test]
fn go_keeps_every_goroutine() {
    let call = |name: &'static str| move |n: usize| format!("main.{name}{n}(0xc000012345)\n\t/app/{name}.go:{n} +0x1d\n");
    let stack = format!(
        "panic: boom\n\ngoroutine 1 [running]:\n{}\ngoroutine 7 [chan receive]:\n{}created by main.start in goroutine 1\n\t/app/start.go:9 +0x20\n",
        frames(30, call("one")),
        frames(30, call("seven"))
    );
    check(
        &stack,
        &[
            "panic: boom\n",
            "goroutine 1 [running]:\nmain.one0(",
            "\t/app/one.go:0",
            "goroutine 7 [chan receive]:\nmain.seven0",
            "created by main.start",
        ],
    );
}

#[test]
fn dotnet_keeps_the_inner_exceptions_on_its_first_line() {
    let at = |name: &'static str| move |n: usize| format!("   at App.{name}.Call{n}() in /src/{name}.cs:line {n}\n");
    let stack = format!(
        "System.Exception: outer\n ---> System.IO.IOException: middle ---> System.Net.SocketException: root\n{}   --- End of inner exception stack trace ---\n{}",
        frames(40, at("Root")),
        frames(40, at("Outer"))
    );
    check(
        &stack,
        &[
            "System.Exception: outer\n",
            " ---> System.IO.IOException: middle",
            " ---> System.Net.SocketException: root\n",
            "App.Root.Call0",
        ],
    );
}

#[test]
fn php_keeps_the_next_exception() {
    let call = |name: &'static str| move |n: usize| format!("#{n} /app/{name}.php({n}): {name}->call{n}()\n");
    let stack = format!(
        "PDOException: root in /app/db.php:1\nStack trace:\n{}#40 {{main}}\n\nNext RuntimeException: final in /app/a.php:2\nStack trace:\n{}#40 {{main}}",
        frames(40, call("db")),
        frames(40, call("app"))
    );
    check(
        &stack,
        &["PDOException: root", "Stack trace:\n#0 /app/db.php", "Next RuntimeException: final", "Stack trace:\n#0", "{main}"],
    );
}

#[test]
fn ruby_keeps_both_messages() {
    let from = |name: &'static str| move |n: usize| format!("\tfrom /app/{name}.rb:{n}:in 'call{n}'\n");
    let stack = format!(
        "/app/a.rb:1:in 'run': final (RuntimeError)\n{}/app/b.rb:2:in 'read': root (IOError)\n{}",
        frames(50, from("a")),
        frames(50, from("b"))
    );
    check(&stack, &["final (RuntimeError)\n\tfrom /app/a.rb:0", "root (IOError)\n\tfrom /app/b.rb:0"]);
}

#[test]
fn rust_keeps_the_panic_and_the_causes() {
    let stack = format!(
        "thread 'main' panicked at src/main.rs:4:5:\nfailed\n\nCaused by:\n    0: could not read\n    1: connection refused\nstack backtrace:\n{}",
        frames(60, |n| format!("  {n:>2}: app::module::call{n}\n             at ./src/module.rs:{n}:9\n"))
    );
    check(
        &stack,
        &[
            "thread 'main' panicked at src/main.rs:4:5:\nfailed\n",
            "0: could not read\n    1: connection refused\n",
            "0: app::module::call0\n             at ./src/module.rs:0:9\n",
        ],
    );
}

#[test]
fn python_keeps_every_exception_of_a_group() {
    let file = |name: &'static str, bar: &'static str| {
        move |n: usize| format!("{bar}  File \"/app/{name}.py\", line {n}, in f{n}\n{bar}    return await g{n}()\n")
    };
    let stack = format!(
        "  + Exception Group Traceback (most recent call last):\n{}  | ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)\n  +-+---------------- 1 ----------------\n    | Traceback (most recent call last):\n{}    | ValueError: first\n    +---------------- 2 ----------------\n    | Traceback (most recent call last):\n{}    | KeyError: 'second'\n    +------------------------------------\n",
        frames(20, file("main", "  | ")),
        frames(20, file("one", "    | ")),
        frames(20, file("two", "    | "))
    );
    check(
        &stack,
        &[
            "  + Exception Group Traceback (most recent call last):\n",
            "main.py\", line 19",
            "  | ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)\n  +-+---------------- 1",
            "one.py\", line 19",
            "    | ValueError: first\n",
            "two.py\", line 19",
            "    | KeyError: 'second'\n",
        ],
    );
}

#[test]
fn javascript_keeps_every_error_of_an_aggregate() {
    let at = |name: &'static str| move |n: usize| format!("        at async {name}{n} (/app/{name}.js:{n}:5)\n");
    let stack = format!(
        "AggregateError: All promises were rejected\n{}    at async main (/app/main.js:3:3) {{\n  [errors]: [\n    Error: first\n{}    TypeError: last\n{}  ]\n}}\n",
        frames(20, at("all")),
        frames(20, at("first")),
        frames(20, at("last"))
    );
    check(
        &stack,
        &[
            "AggregateError: All promises",
            "  [errors]: [\n",
            "    Error: first\n        at async first0",
            "    TypeError: last\n        at async last0",
        ],
    );
}

#[test]
fn a_trace_in_a_string_of_json_keeps_its_causes_and_its_escapes() {
    let at = |name: &'static str| move |n: usize| format!("\\tat com.example.{name}.call{n}({name}.java:{n})\\n");
    let stack = format!(
        "java.lang.RuntimeException: outer\\n{}Caused by: java.io.IOException: root\\n{}",
        frames(40, at("A")),
        frames(40, at("B"))
    );
    check(
        &stack,
        &[
            "java.lang.RuntimeException: outer\\n\\tat com.example.A.call0",
            "Caused by: java.io.IOException: root\\n\\tat com.example.B.call0",
        ],
    );
    assert!(!step(1024).truncate(&stack).contains('\n'));
}

#[test]
fn elixir_and_swift_keep_their_message_and_the_first_calls() {
    let elixir = format!(
        "** (RuntimeError) boom\n{}",
        frames(60, |n| format!("    (shop 0.1.0) lib/shop/page.ex:{n}: Shop.Page.show{n}/2\n"))
    );
    check(&elixir, &["** (RuntimeError) boom\n    (shop 0.1.0) lib/shop/page.ex:0: Shop"]);
    let swift = format!("Fatal error: boom\n{}", frames(60, |n| format!("{n}   Shop    0x0000000104a3c{n:03} main + {n}\n")));
    check(&swift, &["Fatal error: boom\n0   Shop "]);
}

#[test]
fn the_marker_counts_what_is_left_out_also_on_a_second_cut() {
    let stack = format!("Error: x\n{}", frames(100, |n| format!("    at f{n} (a.js:{n}:1)\n")));
    for bytes in [1024, 512, 256] {
        let first = step(1024).truncate(&stack).into_owned();
        let out = step(bytes).truncate(&first).into_owned();
        let left = out.matches("    at f").count();
        let marker = out.lines().find(|line| line.contains("omitted")).unwrap();
        assert_eq!(marker.trim(), format!("… {} frames omitted …", 100 - left));
    }
}

#[test]
fn repeated_calls_stay_once_with_a_count() {
    let circle = "    at even (a.js:1:1)\n    at odd (a.js:2:1)\n".repeat(500);
    let stack = format!("RangeError: too deep\n    at f (a.js:9:1)\n{circle}    at main (a.js:3:1)\n");
    let out = step(1024).truncate(&stack).into_owned();
    let expected = "RangeError: too deep\n    at f (a.js:9:1)\n    at even (a.js:1:1)\n    at odd (a.js:2:1)\n    … 998 frames repeated …\n    at main (a.js:3:1)\n";
    assert_eq!(out, expected);
    // A later, smaller cut still knows how many calls there were.
    let twice = format!("{out}{}", frames(100, |n| format!("    at g{n} (a.js:{n}:1)\n")));
    let out = step(256).truncate(&twice).into_owned();
    let left = out.matches("    at ").count();
    let marked: usize =
        out.lines().filter_map(|line| line.trim().strip_prefix("… ")?.split(' ').next()?.parse::<usize>().ok()).sum();
    assert_eq!(left + marked, 1 + 1000 + 1 + 100, "{out}");
}

#[test]
fn python_folds_a_recursion_with_its_source_lines() {
    let call = "  File \"a.py\", line 1, in f\n    return f()\n           ^^^\n".repeat(100);
    let out = step(1024).truncate(&format!("Traceback (most recent call last):\n{call}RecursionError: x")).into_owned();
    let expected = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    return f()\n           ^^^\n  … 99 frames repeated …\nRecursionError: x";
    assert_eq!(out, expected);
}

#[test]
fn a_stack_within_its_budget_is_left_as_it_is() {
    let stack = format!("Error: x\n{}", "    at f (a.js:1:1)\n".repeat(10));
    assert!(matches!(step(1024).truncate(&stack), Cow::Borrowed(text) if text == stack));
}

#[test]
fn where_the_headers_alone_are_too_many_the_first_and_the_final_cause_stay() {
    let causes = frames(50, |n| format!("Caused by: com.example.Failed{n}: reason\n\tat a.b.C(C.java:{n})\n"));
    let out = step(256).truncate(&format!("Outer: x\n{causes}")).into_owned();
    assert!(out.starts_with("Outer: x\n") && out.contains("… 50 frames omitted …") && out.contains("Failed49"), "{out}");
    assert!(out.len() <= 256);
}

#[test]
fn a_long_message_leaves_room_for_frames_and_keeps_its_marks() {
    for pad in 0..24 {
        let message = format!("Error: {}{}", "é".repeat(pad), "[redacted:password] ".repeat(500));
        let out =
            step(1024).truncate(&format!("{message}\n{}", frames(100, |n| format!("    at f{n} (a.js:1:1)\n")))).into_owned();
        assert!(out.contains("    at f"), "{out}");
        assert_eq!(out.matches("[redacted:").count(), out.matches("[redacted:password]").count(), "{out}");
    }
}

#[test]
fn only_the_stack_column_changes_and_it_is_counted() {
    let schema = Table::Errors.schema();
    let mut columns: Vec<ArrayRef> = schema.fields().iter().map(|field| new_null_array(field.data_type(), 3)).collect();
    let long = format!("Error: x\n{}", frames(1000, |n| format!("    at f{n} (a.js:1:1)\n")));
    let index = Table::Errors.column("stack_trace").unwrap();
    columns[index] = Arc::new(StringArray::from(vec![Some("short"), None, Some(&long)]));
    let batch = TableBatch { table: Table::Errors, batch: RecordBatch::try_new(schema, columns).unwrap() };
    let mut tally = Tally::default();
    let out = step(1024).apply(batch, &mut tally);
    let stacks = out.strings(index).unwrap();
    assert_eq!((stacks.value(0), stacks.is_null(1)), ("short", true));
    assert!(stacks.value(2).len() <= 1024);
    assert_eq!(tally.noted(Note::TruncatedStack), 1);
}

#[test]
fn a_budget_below_256_bytes_is_refused() {
    assert!(serde_json::from_str::<TruncateStackConfig>(r#"{"max_bytes":"255B"}"#).is_err());
    let config: TruncateStackConfig = serde_json::from_str(r#"{"max_bytes":"256B"}"#).unwrap();
    assert_eq!(config.max_bytes, StackBudget(256));
    assert_eq!(TruncateStackConfig::default().max_bytes, StackBudget(8192));
}

proptest! {
    #[test]
    fn any_text_ends_up_within_the_budget_and_twice_is_once(
        lines in proptest::collection::vec(prop_oneof![
            "\\PC{0,80}",
            "    at [a-z]{1,40}",
            proptest::sample::select(vec!["Caused by: X", "  File \"a.py\", line 1", "    x = 1", "goroutine 1 [running]:", "[redacted:jwt]", " A ---> B", "", "…"]).prop_map(str::to_owned),
        ], 0..120),
        bytes in 256_u64..2048,
    ) {
        let stack = lines.join("\n");
        let step = step(bytes);
        let out = step.truncate(&stack).into_owned();
        prop_assert!(out.len() as u64 <= bytes);
        prop_assert_eq!(step.truncate(&out).into_owned(), out.clone());
        prop_assert_eq!(out.matches("[redacted:").count(), out.matches("[redacted:jwt]").count());
    }

    #[test]
    fn the_parts_of_a_trace_are_the_trace(lines in proptest::collection::vec("\\PC{0,30}|    at x|Caused by: y|\\t/a.go:1|  File \"a\"", 0..40)) {
        let stack = lines.join("\n");
        let joined: String = parts(&stack).iter().map(|part| match part {
            Part::Header(text) => (*text).to_owned(),
            Part::Frames(frames) => frames.iter().map(|frame| frame.text).collect(),
        }).collect();
        prop_assert_eq!(joined, stack);
    }
}
