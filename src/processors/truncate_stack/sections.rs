//! What a line of a stack trace is: a header (a type and message, the announcement of a cause) or a frame.
//!
//! Read off the printers of Java, Python, JavaScript, Go, .NET, PHP, Ruby and Rust, and the frames of Elixir and Swift. Exceptions of a group in
//! Python stand behind `|`, a trace in a string of JSON has `\n` for its line ends. A line that no language claims is a header when it
//! stands at the margin and a frame when it is indented: a message is kept rather than lost.

/// A piece of a trace; all pieces together are the trace.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Header(&'t str),
    /// Never empty.
    Frames(Vec<Frame<'t>>),
}

/// One call, with the lines that belong to it (Python's source line, Go's and Rust's position).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'t> {
    pub(super) text: &'t str,
    /// How many calls it stands for: more than one in the marker of an earlier cut, and where a repeat was folded.
    pub(super) weight: u64,
    /// How often these calls, one or several, come again behind this one; none of the repeats is in `text`.
    pub(super) repeats: u64,
}

/// Calls that may call each other in a circle that is folded.
const MAX_CIRCLE: usize = 8;

/// Takes repeats out: calls, or circles of up to 8 calls, that stand several times in a row stay once.
pub(super) fn fold<'t>(stack: &'t str, parts: Vec<Part<'t>>) -> Vec<Part<'t>> {
    let mut at = 0;
    let fold_part = |part: Part<'t>| {
        let start = at;
        match part {
            Part::Header(text) => {
                at += text.len();
                Part::Header(text)
            }
            Part::Frames(frames) => {
                at += frames.iter().map(|frame| frame.text.len()).sum::<usize>();
                Part::Frames(fold_frames(stack, start, &frames))
            }
        }
    };
    parts.into_iter().map(fold_part).collect()
}

fn fold_frames<'t>(stack: &'t str, start: usize, frames: &[Frame<'t>]) -> Vec<Frame<'t>> {
    let mut folded = Vec::new();
    let (mut at, mut offset) = (0, start);
    while at < frames.len() {
        let rest = &frames[at..];
        let circle = (1..=MAX_CIRCLE.min(rest.len() / 2)).find_map(|length| {
            let times = rest.chunks_exact(length).take_while(|chunk| same(chunk, &rest[..length])).count();
            // Two calls in a row that are the same save no line by folding.
            (times * length > length + 1).then_some((length, times))
        });
        let (length, times) = circle.unwrap_or((1, 1));
        let bytes: usize = rest[..length].iter().map(|frame| frame.text.len()).sum();
        folded.push(Frame {
            text: &stack[offset..offset + bytes],
            weight: rest[..length * times].iter().map(|frame| frame.weight).sum(),
            repeats: u64::try_from(times - 1).unwrap_or(u64::MAX),
        });
        offset += rest[..length * times].iter().map(|frame| frame.text.len()).sum::<usize>();
        at += length * times;
    }
    folded
}

fn same(one: &[Frame<'_>], other: &[Frame<'_>]) -> bool {
    one.iter().zip(other).all(|(one, other)| one.text.trim_end() == other.text.trim_end())
}

impl<'t> Part<'t> {
    /// A header's text, or that of the last frame.
    pub(super) fn text(&self) -> &'t str {
        match self {
            Part::Header(text) => text,
            Part::Frames(frames) => frames.last().map_or("", |frame| frame.text),
        }
    }

    pub(super) fn frames(&self) -> usize {
        match self {
            Part::Header(_) => 0,
            Part::Frames(frames) => frames.len(),
        }
    }

    /// Calls in it.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Part::Header(_) => 0,
            Part::Frames(frames) => frames.iter().map(|frame| frame.weight).sum(),
        }
    }
}

/// How a line that announces a cause begins, after its indent.
const CAUSES: &[&str] = &[
    "Caused by:",
    "Suppressed:",
    "Wrapped by:",
    "[cause]:",
    "[errors]:",
    "cause:",
    "---> ",
    "Next ",
    "During handling of the above exception",
    "The above exception was the direct cause",
    "Traceback (most recent call last)",
    "goroutine ",
    "created by ",
    "panic: ",
    "thread '",
    "stack backtrace:",
    "Stack backtrace:",
    "Stack trace:",
    "Exception Group Traceback",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Begins a new header.
    Cause,
    /// Goes on with the header before it.
    Text,
    Frame,
    /// Belongs to the frame before it.
    Position,
}

/// Splits a trace; the texts of its parts, joined, are the trace.
pub(super) fn parts(stack: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut lines = stack.split_inclusive(line_end(stack)).peekable();
    let mut at = 0;
    let mut frame = "";
    let mut before = Line::Cause;
    while let Some(line) = lines.next() {
        let kind = classify(line, lines.peek().copied(), frame, before);
        match kind {
            Line::Frame => {
                frame = line;
                let one = Frame { text: line, weight: omitted(line).unwrap_or(1), repeats: 0 };
                match parts.last_mut() {
                    Some(Part::Frames(frames)) => frames.push(one),
                    _ => parts.push(Part::Frames(vec![one])),
                }
            }
            Line::Position => {
                if let Some(Part::Frames(frames)) = parts.last_mut()
                    && let Some(last) = frames.last_mut()
                {
                    last.text = &stack[at - last.text.len()..at + line.len()];
                }
            }
            Line::Text => match parts.last_mut() {
                Some(Part::Header(text)) => *text = &stack[at - text.len()..at + line.len()],
                _ => headers(line, &mut parts),
            },
            Line::Cause => headers(line, &mut parts),
        }
        before = kind;
        at += line.len();
    }
    parts
}

/// What ends the lines of a trace: `\n`, or the same escaped where there is no other.
pub(super) fn line_end(stack: &str) -> &'static str {
    if !stack.contains('\n') && stack.contains("\\n") { "\\n" } else { "\n" }
}

/// A line without what stands before it: `|` of an exception group in Python, an escaped tab.
pub(super) fn inner(line: &str) -> &str {
    let text = line.trim_start();
    match text.strip_prefix('|') {
        Some(rest) => rest.strip_prefix(' ').unwrap_or(rest),
        None if text.starts_with("+ Exception Group") => &text[2..],
        None => line.strip_prefix("\\t").map_or(line, |rest| rest.trim_start_matches("\\t")),
    }
}

/// One line as headers: .NET writes the causes of an exception behind it, `A: x ---> B: y`.
fn headers<'t>(line: &'t str, parts: &mut Vec<Part<'t>>) {
    let mut rest = line;
    while let Some(arrow) = rest.get(1..).and_then(|tail| tail.find(" ---> ")) {
        let (head, tail) = rest.split_at(arrow + 1);
        parts.push(Part::Header(head));
        rest = tail;
    }
    parts.push(Part::Header(rest));
}

fn classify(line: &str, next: Option<&str>, frame: &str, before: Line) -> Line {
    let own = inner(line);
    let text = own.trim_start();
    let indented = text.len() < own.len() || line.starts_with("\\t");
    let in_frame = matches!(before, Line::Frame | Line::Position);
    if text.is_empty() || text == "\\n" {
        // An empty line between frames is no message.
        return if in_frame { Line::Position } else { Line::Text };
    }
    if CAUSES.iter().any(|cause| text.starts_with(cause))
        || (text.contains("[cause]:") && !text.starts_with("at "))
        || text.starts_with("+-")
    {
        return Line::Cause;
    }
    if in_frame && indented && goes_on(text, frame) {
        return Line::Position;
    }
    if indented && in_frame && names_an_error(text) {
        return Line::Cause;
    }
    let call = text.starts_with("at ")
        || text.starts_with("from ")
        || text.starts_with("File \"")
        || text.starts_with("… ")
        || text.starts_with("... ")
        || text.starts_with("--- End of ")
        || after_digits(text.strip_prefix('#').unwrap_or_default(), " ")
        || position_first(text)
        || at_address(text)
        || elixir(text)
        || (after_digits(text, " ") && text.contains(" 0x"))
        || (!indented && next.is_some_and(go_position));
    if call {
        return Line::Frame;
    }
    // Rust's anyhow numbers its causes under `Caused by:`; a backtrace numbers its frames.
    let numbered = after_digits(text, ": ");
    if numbered {
        return if in_frame || names_a_function(text) { Line::Frame } else { Line::Text };
    }
    if indented && (in_frame || before == Line::Frame) { Line::Frame } else { Line::Text }
}

/// Whether an indented line begins another error, as those of an `AggregateError` stand below each other: `TypeError: x`.
fn names_an_error(text: &str) -> bool {
    let name = text.split([':', ' ', '\n', '\\', '[']).next().unwrap_or_default();
    let named = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'));
    named && ["Error", "Exception"].iter().any(|ending| name.ends_with(ending))
}

/// `(app 0.1.0) lib/app/page.ex:12: App.Page.show/2`
fn elixir(text: &str) -> bool {
    [".ex:", ".exs:", ".erl:"].iter().any(|file| {
        text.split_once(file).is_some_and(|(path, rest)| after_digits(rest, ": ") && !path.trim_start_matches('(').contains(": "))
    })
}

/// Whether an indented line belongs to this frame.
fn goes_on(text: &str, frame: &str) -> bool {
    let frame = inner(frame);
    let head = frame.trim_start();
    if head.starts_with("File \"") {
        return !text.starts_with("File \"") && !text.starts_with("… ");
    }
    if after_digits(head, ": ") {
        return text.starts_with("at ");
    }
    head.len() == frame.len() && go_position(&format!("\t{text}"))
}

fn after_digits(text: &str, then: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < text.len() && rest.starts_with(then)
}

/// The line below a call in Go: a tab, a file, a line.
fn go_position(line: &str) -> bool {
    line.starts_with('\t') && line.contains(".go:")
}

/// Ruby and older JavaScript: `path:12:in 'name'`. The first line of a trace in Ruby also has the message, and is a header.
fn position_first(text: &str) -> bool {
    let Some((_, rest)) = text.split_once(":in ") else { return false };
    let quoted = rest.trim_end().ends_with(['\'', '`']);
    quoted && text.split(':').nth(1).is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Firefox and Safari: `name@https://host/file.js:1:2`.
fn at_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, place)| {
        !name.contains(' ') && place.trim_end().ends_with(|c: char| c.is_ascii_digit()) && place.matches(':').count() >= 2
    })
}

/// `12: std::rt::lang_start` and not `1: connection refused`.
fn names_a_function(text: &str) -> bool {
    text.split_once(": ").is_some_and(|(_, name)| name.contains("::") && !name.trim().contains(' ') || name.starts_with('<'))
}

/// The count in a marker of an earlier cut: `… 12 frames omitted …`, `… 12 frames repeated …`.
fn omitted(line: &str) -> Option<u64> {
    let text = inner(line).trim();
    let (count, what) = text.strip_suffix("\\n").unwrap_or(text).strip_prefix("… ")?.split_once(' ')?;
    if matches!(what, "frames omitted …" | "frames repeated …") { count.parse().ok() } else { None }
}
