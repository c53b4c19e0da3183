//! What was found, for programs as JSON and for people as a table: one row a flood, quiet first.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::super::figures::Times;

/// All floods.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    rows: Vec<Row>,
}

/// One flood.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    flood: String,
    /// From before the POST of a bystander's Database until CREATED was seen.
    created: Times,
    /// From before the POST of a bystander's Backup until it had a state.
    begun: Times,
    /// Of the operator, during this flood.
    peak_memory_mib: f64,
    /// Of the operator: processor time in one second.
    processors: f64,
}

impl Row {
    pub(super) fn new(
        flood: &str,
        created: &[Duration],
        begun: &[Duration],
        peak_memory_mib: f64,
        processors: f64,
    ) -> Self {
        Self {
            flood: flood.to_owned(),
            created: Times::of(created),
            begun: Times::of(begun),
            peak_memory_mib,
            processors,
        }
    }
}

impl Figures {
    pub(super) fn new(rows: Vec<Row>) -> Self {
        Self { rows }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "\n{:24}{:>5}{:>9}{:>9}{:>9}{:>12}{:>12}{:>8}{:>8}",
            "flood", "n", "p50 ms", "p99 ms", "max ms", "backup p50", "backup max", "MiB", "CPU"
        )?;
        for row in &self.rows {
            writeln!(
                formatter,
                "{:24}{:>5}{:>9.0}{:>9.0}{:>9.0}{:>12.0}{:>12.0}{:>8.1}{:>8.2}",
                row.flood,
                row.created.count,
                row.created.p50_ms,
                row.created.p99_ms,
                row.created.max_ms,
                row.begun.p50_ms,
                row.begun.max_ms,
                row.peak_memory_mib,
                row.processors,
            )?;
        }
        writeln!(
            formatter,
            "\nA bystander's Databases until CREATED, and its Backups until they begin; the operator's memory at its highest, \
             and its processor time in a second."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_for_each_flood_with_quiet_first() {
        let times = [Duration::from_millis(200), Duration::from_millis(400)];
        let row = |name| Row::new(name, &times, &times[..1], 41.25, 0.5);
        let text = Figures::new(vec![row("quiet"), row("locks of 16")]).to_string();
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        assert!(lines[1].starts_with("quiet "), "{text}");
        for figure in [" 2 ", " 200 ", " 400 ", " 41.2", " 0.50"] {
            assert!(lines[2].contains(figure), "{figure} in {text}");
        }
    }
}
