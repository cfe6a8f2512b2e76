//! The process itself, by the Collector's names; read from `/proc/self` at every scrape, and absent where there is none.

use std::fs;
use std::time::Instant;

use super::source::{Sample, Source};
use crate::clock;

/// The kernel's unit of CPU time as user space sees it (`USER_HZ`, proc(5)); 100 on every Linux that Rust's tier 1 and 2 know.
const TICKS_PER_SECOND: f64 = 100.0;

/// Uptime since now, resident memory, CPU time.
pub(super) fn source() -> Source {
    let started: Instant = clock::now();
    Box::new(move |out| {
        let uptime = clock::now().saturating_duration_since(started).as_secs_f64();
        out.push(Sample::counter("otelcol_process_uptime_seconds", "Uptime of the process", vec![], uptime));
        if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident) {
            out.push(Sample::gauge("otelcol_process_memory_rss_bytes", "Resident memory of the process", vec![], bytes));
        }
        if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_seconds) {
            out.push(Sample::counter("otelcol_process_cpu_seconds", "CPU time of the process, user and system", vec![], seconds));
        }
    })
}

/// Bytes from the line `VmRSS:     1234 kB`.
fn resident(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kib| kib * 1_024.0)
}

/// Fields 14 and 15; the second field is a name in parentheses that can hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_field_by_field() {
        assert_eq!(resident("Name:\tfloe\nVmRSS:\t    2048 kB\nThreads:\t9\n"), Some(2_097_152.0));
        assert_eq!(resident("Name:\tfloe\n"), None);
        let stat = "1 (a) b (c) S 1 1 1 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 100 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("1 (a) S 1"), None);
    }
}
