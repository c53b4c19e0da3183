//! The figures for a person.

use std::fmt::Write;

use super::super::backup::figures::as_float;
use super::super::backup::table::render_contenders;
use super::downtime::Downtime;
use super::figures::{Database, Figures};
use super::object::Objects;

/// The table.
pub(super) fn render(figures: &Figures) -> String {
    let mut text = format!(
        "\n{} processors, load {:.1} before and {:.1} after (the run's own is in it); medians of {} rounds, in turn\n",
        figures.processors, figures.load_before, figures.load_after, figures.rounds
    );
    for database in &figures.databases {
        render_database(&mut text, database);
    }
    if !figures.objects.is_empty() {
        text.push_str("\nin the cluster, in seconds after kubectl apply was started\n");
    }
    for objects in &figures.objects {
        render_objects(&mut text, objects);
    }
    if let Some(downtime) = &figures.downtime {
        render_downtime(&mut text, downtime);
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
    let ratios = database.ratios;
    let _ = write!(
        text,
        "ours: {:.2} times the floor's time (aim 1.15), {:.2} times the throughput of the faster pipe (1.2, MariaDB 1); check: Rows adds {:.0} % (10 %)",
        ratios.time_to_floor,
        ratios.throughput_to_pipe,
        ratios.rows_on_top * 100.0
    );
    if let Some(digest) = ratios.digest_on_top_s {
        let _ = write!(text, ", check: Digest {digest:.1} s (one dump's time)");
    }
    text.push('\n');
}

fn render_objects(text: &mut String, objects: &Objects) {
    let at = objects.median;
    let _ = writeln!(
        text,
        "{}: COMPLETED after {:.2}, {:.2} of it in its pod\n  applied {:.2}, PREPARING {:.2}, LOADING {:.2}, init container done {:.2}, load started {:.2}, load done {:.2}, SWITCHING {:.2}",
        objects.name,
        at.completed,
        objects.pod,
        at.applied,
        at.preparing,
        at.loading,
        at.installed,
        at.running,
        at.ended,
        at.switching
    );
}

fn render_downtime(text: &mut String, downtime: &Downtime) {
    let _ = writeln!(
        text,
        "\na replacement under {} sessions that reconnect: without their database for {:.0} ms (p50), {:.0} ms (p99, aim 1,000); status.report.downtimeMillis {:.0}\n  the same sessions, when a superuser ends them: {:.0} ms, {:.0} ms",
        downtime.sessions,
        downtime.replaced.p50 * 1000.0,
        downtime.replaced.p99 * 1000.0,
        downtime.status_ms,
        downtime.ended.p50 * 1000.0,
        downtime.ended.p99 * 1000.0
    );
}
