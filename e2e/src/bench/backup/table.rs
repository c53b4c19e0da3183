//! The figures for a person.

use std::fmt::Write;

use super::figures::{Contender, Database, Figures, as_float};

/// The widest name of a contender.
const NAME: usize = 48;

/// The table.
pub(super) fn render(figures: &Figures) -> String {
    let mut text = format!(
        "\n{} processors, load {:.1} before and {:.1} after (the run's own is in it); medians of {} rounds, in turn\n",
        figures.processors(),
        figures.load_before,
        figures.load_after,
        figures.rounds
    );
    for database in &figures.databases {
        render_database(&mut text, database);
    }
    text.push('\n');
    for signing in &figures.signing {
        let _ = writeln!(
            text,
            "{:NAME$}{:>10.1} ms",
            format!("signing {} parts, with this build", signing.parts),
            signing.milliseconds
        );
    }
    if let Some(latency) = &figures.latency {
        let at = latency.median;
        let _ = writeln!(
            text,
            "an empty database in the cluster: COMPLETED {:.2} s after kubectl apply was started\n  applied {:.2}, STARTING {:.2}, BACKING_UP {:.2}, init container done {:.2}, dump started {:.2}, dump done {:.2}",
            at.completed,
            at.applied,
            at.starting,
            at.backing_up,
            at.installed,
            at.dumping,
            at.dumped
        );
    }
    text
}

fn render_database(text: &mut String, database: &Database) {
    let title = format!(
        "{}, dump of {:.0} MB",
        database.engine,
        as_float(database.dump_bytes) / 1e6
    );
    render_contenders(text, &title, &database.contenders);
    let ratios = &database.ratios;
    let _ = writeln!(
        text,
        "ours: {:.2} times the throughput of the first pipe (aim 2.6), {:.2} times the second's (1.25), {:.2} times the floor's time (1.2)",
        ratios.throughput_to_aws, ratios.throughput_to_s5cmd, ratios.time_to_floor
    );
}

/// Those that are compared, by their medians.
pub(in crate::bench) fn render_contenders(text: &mut String, title: &str, all: &[Contender]) {
    let _ = writeln!(
        text,
        "\n{title:NAME$}{:>10}{:>10}{:>10}{:>12}{:>12}",
        "time, s", "MB/s", "CPU, s", "peak, MiB", "stored, MB"
    );
    for contender in all {
        let median = contender.median;
        let _ = writeln!(
            text,
            "{:NAME$}{:>10.2}{:>10.0}{:>10.2}{:>12.0}{:>12.1}",
            contender.name,
            median.wall_s,
            contender.megabytes_per_second,
            median.cpu_s,
            median.peak_memory_mib,
            as_float(median.stored_bytes) / 1e6
        );
    }
}
