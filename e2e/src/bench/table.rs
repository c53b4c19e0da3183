//! The figures for a person: one row a figure, one column a server, the aim and the server's own floor beside it.

use std::fmt::Write;

use super::figures::{Cost, EngineFigures, Figures, Traffic};
use super::server::Engine;

/// The widest name of a row.
const NAME: usize = 44;
/// The width of a server's column.
const COLUMN: usize = 30;

/// The table.
pub(super) fn render(figures: &Figures) -> String {
    let mut text = format!(
        "\n{} processors, load {:.1} before and {:.1} after (the run's own is in it)\n\n",
        figures.machine.processors, figures.machine.load_before, figures.machine.load_after
    );
    row(&mut text, "", |engine| Some(engine.to_string()), figures);
    for part in [floor, sequential, storm, deletion] {
        text.push('\n');
        part(&mut text, figures);
    }
    let _ = writeln!(
        text,
        "\n{:NAME$}{:.1} at its highest, {:.1} then",
        "operator's memory, MiB", figures.peak_memory_mib, figures.memory_mib
    );
    rest(&mut text, figures);
    text
}

fn floor(text: &mut String, figures: &Figures) {
    let mut lanes: Vec<usize> = Vec::new();
    for floor in figures.engines.values().flat_map(|engine| &engine.floor) {
        if !lanes.contains(&floor.lanes) {
            lanes.push(floor.lanes);
        }
    }
    for lanes in lanes {
        let name = format!("plain SQL in {lanes} lanes: each, p50, p99, ms");
        cells(text, &name, figures, |engine| {
            let floor = engine.floor.iter().find(|floor| floor.lanes == lanes)?;
            Some(format!(
                "{:.1}, {:.1}, {:.1}",
                floor.each_ms, floor.one.p50_ms, floor.one.p99_ms
            ))
        });
    }
}

fn sequential(text: &mut String, figures: &Figures) {
    cells(
        text,
        "one by one: CREATED p50, p99, ms",
        figures,
        |engine| {
            let times = &engine.sequential.as_ref()?.created;
            Some(format!("{:.0}, {:.0}", times.p50_ms, times.p99_ms))
        },
    );
    cells(
        text,
        "one by one: usable p50, p99, max, ms",
        figures,
        |engine| {
            let times = &engine.sequential.as_ref()?.usable;
            let floor = engine.sequential_floor().map(|floor| floor.one.p50_ms);
            Some(format!(
                "{:.0}, {:.0}, {:.0}{}",
                times.p50_ms,
                times.p99_ms,
                times.max_ms,
                ratio(times.p50_ms, floor)
            ))
        },
    );
    costs(text, figures, |engine| {
        Some(&engine.sequential.as_ref()?.each)
    });
}

fn storm(text: &mut String, figures: &Figures) {
    cells(text, "at once: how many", figures, |engine| {
        Some(engine.storm.as_ref()?.count.to_string())
    });
    cells(
        text,
        "at once: applied, all CREATED, s",
        figures,
        |engine| {
            let storm = engine.storm.as_ref()?;
            let each = storm.all_created_s * 1000.0 / f64::from(u32::try_from(storm.count).ok()?);
            Some(format!(
                "{:.1}, {:.1}{}",
                storm.applied_s,
                storm.all_created_s,
                ratio(each, engine.storm_floor_ms())
            ))
        },
    );
    cells(
        text,
        "at once: operator's processor time, s",
        figures,
        |engine| Some(format!("{:.2}", engine.storm.as_ref()?.cpu_s)),
    );
    costs(text, figures, |engine| Some(&engine.storm.as_ref()?.each));
}

fn deletion(text: &mut String, figures: &Figures) {
    cells(text, "all deleted: how many, s", figures, |engine| {
        let deletion = engine.deletion.as_ref()?;
        Some(format!("{}, {:.1}", deletion.count, deletion.all_gone_s))
    });
    costs(text, figures, |engine| {
        Some(&engine.deletion.as_ref()?.each)
    });
    let what = "  left: databases, users, claims, Secrets";
    cells(text, what, figures, |engine| {
        let left = &engine.deletion.as_ref()?.left;
        Some(format!(
            "{}, {}, {}, {}",
            left.databases, left.users, left.claims, left.secrets
        ))
    });
}

fn costs(text: &mut String, figures: &Figures, of: impl Fn(&EngineFigures) -> Option<&Cost>) {
    cells(
        text,
        "  each: API writes (refused), reads, Events",
        figures,
        |engine| {
            let cost = of(engine)?;
            Some(format!(
                "{:.2} ({:.2}), {:.2}, {:.2}",
                cost.api_writes, cost.api_refused, cost.api_reads, cost.events
            ))
        },
    );
    cells(
        text,
        "  each: SQL statements, connections, CPU ms",
        figures,
        |engine| {
            let cost = of(engine)?;
            Some(format!(
                "{:.1}, {:.2}, {:.1}",
                cost.sql_statements, cost.sql_connections, cost.cpu_ms
            ))
        },
    );
}

fn rest(text: &mut String, figures: &Figures) {
    let Some(rest) = &figures.rest else { return };
    let mut line = |name: &str, traffic: &Traffic| {
        let _ = writeln!(
            text,
            "{name:NAME$}{} API writes, {} reads, {} Events, {} of leases; {} SQL statements ({} as a Database's user), {} connections; CPU {:.2} s",
            traffic.api_writes,
            traffic.api_reads,
            traffic.events,
            traffic.lease_writes,
            traffic.sql_statements,
            traffic.sql_as_users,
            traffic.sql_connections,
            traffic.cpu_s
        );
    };
    line(
        &format!(
            "restart with {} held ({:.0} s)",
            rest.held, rest.restart.seconds
        ),
        &rest.restart,
    );
    line(
        &format!("a whole resync of {} s", rest.resync_s),
        &rest.resync,
    );
    let _ = writeln!(text, "{:NAME$}{:.1}", "  memory then, MiB", rest.memory_mib);
}

/// How often the floor goes into it.
fn ratio(value: f64, floor: Option<f64>) -> String {
    floor
        .filter(|floor| *floor > 0.0)
        .map_or_else(String::new, |floor| {
            format!(" ({:.1} × the floor)", value / floor)
        })
}

fn cells(
    text: &mut String,
    name: &str,
    figures: &Figures,
    of: impl Fn(&EngineFigures) -> Option<String>,
) {
    let cell = |engine: Engine| figures.engines.get(engine.name()).and_then(&of);
    row(text, name, cell, figures);
}

fn row(text: &mut String, name: &str, cell: impl Fn(Engine) -> Option<String>, figures: &Figures) {
    let measured = Engine::ALL
        .into_iter()
        .filter(|engine| figures.engines.contains_key(engine.name()));
    let mut line = format!("{name:NAME$}");
    for engine in measured {
        let _ = write!(
            line,
            "{:COLUMN$}",
            cell(engine).unwrap_or_else(|| "-".to_owned())
        );
    }
    let _ = writeln!(text, "{}", line.trim_end());
}
