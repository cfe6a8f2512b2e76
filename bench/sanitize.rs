//! How fast `sanitize` reads: clean, dirty and adversarial texts, in GB/s of one core and cycles a byte.
//!
//! `cargo run --release --example sanitize`. Texts are made by a seeded generator, so that no secret stands in this tree. Each is read whole, and
//! as strings of a few hundred bytes, as they come. The figure is that of the best of many short runs: what else the machine does makes runs
//! slower and none faster.

#![allow(clippy::cast_precision_loss, clippy::print_stdout, reason = "a bench: its numbers are small, and it reports on stdout")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use floe::processors::sanitize::{Mode, SanitizeConfig, Sanitizer};

/// Bytes of each text.
const TEXT: usize = 1 << 18;
const RUNS: usize = 200;

/// Ordinary lines; `<h8>` stands for 8 hexadecimal and `<d8>` for 8 decimal digits.
const CLEAN: &[&str] = &[
    "2026-11-24T06:31:06.1<d2>Z INFO checkout request <h8>-<h4>-<h4>-<h4>-<h12> took 1<d2> ms",
    "java.lang.IllegalStateException: cart <d5> is closed",
    "    at com.example.checkout.CartService.close(CartService.java:<d3>)",
    "    at com.example.auth.TokenService.validate(TokenService.java:<d3>)",
    "    at org.springframework.web.servlet.DispatcherServlet.doDispatch(DispatcherServlet.java:<d3>)",
    "Caused by: java.sql.SQLException: duplicate key value violates unique constraint orders_pkey",
    "  File \"/opt/python/lib/python3.12/site-packages/sqlalchemy/engine/base.py\", line <d3>, in execute",
    "    return self.dialect.do_execute(cursor, statement, parameters)",
    "TypeError: Cannot read properties of undefined (reading 'items')",
    "    at Object.handler (/var/task/node_modules/@scope/shop/dist/index.js:<d3>:<d2>)",
    "goroutine <d2> [running]:",
    "main.(*Server).handle(0xc000<h6>)",
    "\t/src/server.go:<d3> +0x<h3>",
    "GET https://shop.example.com/orders/<d6>?page=<d1> 503 in 1<d2> ms",
    "the session has expired, sign in again; password is required",
    "ECONNREFUSED: connect to db.internal:5432 timed out after <d4> ms",
];

/// The same with something to take out.
const DIRTY: &[&str] = &[
    "401 from https://api.example.com/v1?token=7Qk<h24>&page=2",
    "connect postgres://app:Zx9<h8>@db.example.com:5432/shop failed",
    "Authorization: Bearer 7Qk<h32>",
    "user jane.<h4>@example.com from 93.184.216.34 was refused",
    "password=Zx9<h12>, retrying",
    "bad credentials ghp_7Qk<h33>",
];

/// What costs most for what it is: keywords and signs without end.
const ADVERSARIAL: &[&str] =
    &["password=", "key key=", "token: \"", "://a:b@", "eyJ-", "4111 ", "1.2.", "a:b::", "@a.b", "Cookie: a=", "-----BEGIN "];

struct Noise(u64);

impl Noise {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % count
    }

    fn fill(&mut self, template: &str) -> String {
        let mut parts = template.split('<');
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let Some((noise, after)) = part.split_once('>') else { continue };
            let digits = if noise.starts_with('h') { &b"0123456789abcdef"[..] } else { &b"0123456789"[..] };
            for _ in 0..noise[1..].parse().unwrap_or(0) {
                out.push(char::from(digits[self.below(digits.len())]));
            }
            out.push_str(after);
        }
        out
    }

    /// Lines up to the size of a text; one of `every` is of the second list.
    fn lines(&mut self, often: &[&str], seldom: &[&str], every: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        while bytes < TEXT {
            let list = if self.below(every) == 0 { seldom } else { often };
            let template = list[self.below(list.len())];
            let line = self.fill(template) + "\n";
            bytes += line.len();
            lines.push(line);
        }
        lines
    }
}

/// Seconds of the best run over these strings.
fn best(sanitizer: &Sanitizer, strings: &[String]) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        for text in strings {
            black_box(sanitizer.clean(black_box(text), Mode::Text).redactions);
        }
        best = best.min(start.elapsed());
    }
    best.as_secs_f64()
}

/// Cycles a second, where the system says so.
fn clock() -> Option<f64> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = cpus.lines().find(|line| line.starts_with("cpu MHz"))?;
    Some(line.rsplit(' ').next()?.parse::<f64>().ok()? * 1e6)
}

fn report(sanitizer: &Sanitizer, name: &str, strings: &[String]) {
    let bytes: usize = strings.iter().map(String::len).sum();
    let seconds = best(sanitizer, strings);
    let cycles = clock().map_or_else(String::new, |clock| format!(", {:.2} cycles/byte", seconds * clock / bytes as f64));
    println!("{name:<44} {:6.3} GB/s{cycles}", bytes as f64 / seconds / 1e9);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sanitizer = Sanitizer::new(&SanitizeConfig::default())?;
    let mut noise = Noise(1);
    for (name, seldom, every) in
        [("clean", CLEAN, 2), ("dirty, a find in 20 lines", DIRTY, 20), ("dirty, a find a line", DIRTY, 1)]
    {
        let lines = noise.lines(CLEAN, seldom, every);
        let stacks: Vec<String> = lines.chunks(8).map(<[String]>::concat).collect();
        report(&sanitizer, &format!("{name}: lines"), &lines);
        report(&sanitizer, &format!("{name}: eight lines each"), &stacks);
        report(&sanitizer, &format!("{name}: one text"), &[lines.concat()]);
    }
    for piece in ADVERSARIAL {
        report(&sanitizer, &format!("adversarial: {piece:?}"), &[piece.repeat(TEXT / piece.len())]);
    }
    Ok(())
}
