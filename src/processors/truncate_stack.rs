//! `truncate_stack`: shortens stack traces to a budget of bytes, keeping what tells the story: every section's header, the head and the
//! tail of its frames, and the final cause. Of calls that repeat, also in a circle, one round stays, with a count.
//!
//! ```yaml
//! truncate_stack: { max_bytes: 8KiB }
//! ```
//! | file | what it holds |
//! |---|---|
//! | `sections` | what a line of a trace is, in eight languages |
//!
//! Invariants: the result has at most `max_bytes` bytes, its marker included; a stack within them is left as it is, so doing it twice
//! changes nothing; no character and no redaction mark is cut.

mod sections;

use std::borrow::Cow;
use std::fmt::Write as _;

use arrow_array::builder::StringBuilder;
use arrow_array::{Array as _, StringArray};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::ByteSize;
use crate::processors::sanitize::mark;
use crate::processors::{ColumnStep, Note, Tally};
use crate::tables::{Table, TableBatch};
use sections::{Frame, Part, fold, inner, line_end, parts};

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TruncateStackConfig {
    /// At least 256 B; default 8 KiB.
    pub max_bytes: StackBudget,
}

/// The bytes that a stored stack trace may have; 256 at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(try_from = "ByteSize")]
pub struct StackBudget(usize);

/// A budget below this would leave no room for two headers and the marker.
const MIN_BYTES: usize = 256;

/// A header is shortened to no less than this.
const MIN_HEADER: usize = 80;

const ELLIPSIS: &str = "…";

impl Default for StackBudget {
    fn default() -> StackBudget {
        StackBudget(8 << 10)
    }
}

impl TryFrom<ByteSize> for StackBudget {
    type Error = String;

    fn try_from(size: ByteSize) -> Result<StackBudget, String> {
        let bytes = size.in_memory();
        if bytes < MIN_BYTES {
            return Err(format!("expected `max_bytes` of at least {MIN_BYTES} B for a stack trace, found {bytes}"));
        }
        Ok(StackBudget(bytes))
    }
}

/// The step.
#[derive(Clone, Debug)]
pub struct TruncateStack {
    max_bytes: usize,
}

impl TruncateStack {
    pub fn new(config: &TruncateStackConfig) -> TruncateStack {
        TruncateStack { max_bytes: config.max_bytes.0 }
    }

    /// The stack within the budget; borrowed where it is short enough. Pure, and linear but for a logarithm of its frames.
    pub fn truncate<'t>(&self, stack: &'t str) -> Cow<'t, str> {
        if stack.len() <= self.max_bytes {
            return Cow::Borrowed(stack);
        }
        let line_end = line_end(stack);
        let parts = fold(stack, parts(stack));
        let headers = parts.iter().filter(|part| matches!(part, Part::Header(_)));
        let (count, bytes) = headers.fold((0, 0), |(count, bytes), part| (count + 1, bytes + part.text().len()));
        let half = self.max_bytes / 2;
        let header = if bytes <= half { usize::MAX } else { (half / count.max(1)).max(MIN_HEADER) };
        let draw = |frames: usize| render(&parts, header, frames, self.max_bytes, line_end);

        let Some(mut best) = draw(0) else { return Cow::Owned(self.ends(&parts, line_end)) };
        let longest = parts.iter().map(Part::frames).max().unwrap_or(0);
        let (mut low, mut high) = (0, longest + 1);
        while high - low > 1 {
            let middle = usize::midpoint(low, high);
            match draw(middle) {
                Some(text) => (low, best) = (middle, text),
                None => high = middle,
            }
        }
        Cow::Owned(best)
    }

    /// The first header and the last one: in Python and PHP the root cause stands first, elsewhere last.
    fn ends(&self, parts: &[Part<'_>], line_end: &str) -> String {
        let frames: u64 = parts.iter().map(Part::weight).sum();
        let between = format!("    … {frames} frames omitted …{line_end}");
        let each = self.max_bytes.saturating_sub(between.len() + 2) / 2;
        let mut headers = parts.iter().filter(|part| matches!(part, Part::Header(text) if !text.trim().is_empty()));
        let mut out = String::with_capacity(self.max_bytes);
        if let Some(first) = headers.next() {
            push_header(&mut out, first.text(), each, line_end);
        }
        end_line(&mut out, line_end);
        out.push_str(&between);
        if let Some(last) = headers.next_back() {
            push_header(&mut out, last.text(), each, line_end);
        }
        out
    }

    fn column(&self, column: &StringArray) -> Option<(StringArray, u64)> {
        let long = |value: &str| value.len() > self.max_bytes;
        let count = column.iter().flatten().filter(|value| long(value)).count();
        if count == 0 {
            return None;
        }
        let mut out = StringBuilder::with_capacity(column.len(), column.value_data().len());
        for value in column {
            out.append_option(value.map(|value| self.truncate(value)));
        }
        Some((out.finish(), u64::try_from(count).unwrap_or(u64::MAX)))
    }
}

/// Every header, of each at most `header` bytes, and of every run of frames the outer `frames`; `None` past `max` bytes.
fn render(parts: &[Part<'_>], header: usize, frames: usize, max: usize, line: &str) -> Option<String> {
    let mut out = String::with_capacity(max);
    for part in parts {
        match part {
            Part::Header(text) => push_header(&mut out, text, header, line),
            Part::Frames(list) if list.len() <= frames + 1 && frames > 0 => {
                push_frames(&mut out, list, line);
            }
            Part::Frames(list) => {
                // The most recent call is the one to keep when there is room for one: the last in Python, else the first.
                let recent_last = list.first().is_some_and(|frame| inner(frame.text).trim_start().starts_with("File \""));
                let (few, many) = (frames / 2, frames.div_ceil(2));
                let (head, tail) = if recent_last { (few, many) } else { (many, few) };
                let middle = &list[head..list.len() - tail];
                push_frames(&mut out, &list[..head], line);
                end_line(&mut out, line);
                let indent = indent(middle.first().map_or("", |frame| frame.text));
                let omitted: u64 = middle.iter().map(|frame| frame.weight).sum();
                let _ = write!(out, "{indent}… {omitted} frames omitted …{line}");
                push_frames(&mut out, &list[list.len() - tail..], line);
            }
        }
        if out.len() > max {
            return None;
        }
    }
    // A trace without a line end keeps having none.
    if parts.last().is_some_and(|part| !part.text().ends_with(line)) && out.ends_with(line) {
        out.truncate(out.len() - line.len());
    }
    Some(out)
}

/// The text, or its head and `…`; a line end stays.
fn push_header(out: &mut String, text: &str, limit: usize, line: &str) {
    if text.len() <= limit {
        out.push_str(text);
        return;
    }
    out.push_str(&text[..mark::floor(text, limit.saturating_sub(ELLIPSIS.len() + line.len()))]);
    out.push_str(ELLIPSIS);
    if text.ends_with(line) {
        out.push_str(line);
    }
}

fn push_frames(out: &mut String, frames: &[Frame<'_>], line: &str) {
    for frame in frames {
        out.push_str(frame.text);
        if frame.repeats > 0 {
            end_line(out, line);
            // The calls of the text are part of the weight: as many of them as of each repeat.
            let repeated = frame.weight / (frame.repeats + 1) * frame.repeats;
            let _ = write!(out, "{}… {repeated} frames repeated …{line}", indent(frame.text));
        }
    }
}

/// What a line begins with, up to its text: blanks, the `|` of an exception group, an escaped tab.
fn indent(text: &str) -> &str {
    if text.starts_with("\\t") {
        return "\\t";
    }
    &text[..text.bytes().take(16).take_while(|byte| matches!(byte, b' ' | b'\t' | b'|')).count()]
}

fn end_line(out: &mut String, line: &str) {
    if !out.is_empty() && !out.ends_with(line) {
        out.push_str(line);
    }
}

impl ColumnStep for TruncateStack {
    fn apply(&self, batch: TableBatch, tally: &mut Tally) -> TableBatch {
        if batch.table != Table::Errors {
            return batch;
        }
        let Some(index) = batch.table.column("stack_trace") else { return batch };
        match batch.strings(index).and_then(|stacks| self.column(stacks)) {
            Some((stacks, count)) => {
                tally.note(Note::TruncatedStack, count);
                batch.with_strings(index, stacks)
            }
            None => batch,
        }
    }
}

#[cfg(test)]
mod tests;
