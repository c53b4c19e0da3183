//! The text that a scrape gets.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::*;
use crate::metrics::figures::{LastBackups, Owner};

/// What a test wants printed.
#[derive(Debug)]
struct Given(Snapshot);

impl Collector for Given {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        print_snapshot(encoder, &self.0)
    }
}

fn text(collector: impl Collector) -> String {
    let mut registry = Registry::with_prefix("db_operator");
    registry.register_collector(Box::new(collector));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

/// A sample of each.
pub(in crate::metrics) fn everything() -> String {
    let owner = |name: &str| Owner {
        namespace: "team-a".to_owned(),
        name: name.to_owned(),
        instance: "main".to_owned(),
    };
    let last = |completed: Option<&str>, failed| LastBackups {
        completed: completed.map(|at| at.parse().unwrap()),
        failed,
    };
    let trouble = |kind, reason| Trouble {
        kind,
        instance: "main".to_owned(),
        reason,
    };
    let figures = Figures {
        instances: [("main".to_owned(), true)].into(),
        databases: [(("main".to_owned(), "CREATED"), 7)].into(),
        backups: [("COMPLETED", 3)].into(),
        restores: [("LOADING", 1)].into(),
        reconciling: [(trouble("DatabaseInstance", "Unreachable"), 1)].into(),
        stalled: [(trouble("Database", "ClaimedByAnother"), 2)].into(),
        final_backups_failing: [("main".to_owned(), 1)].into(),
        last_backups: [
            (owner("orders"), last(Some("1970-01-02T00:00:00Z"), false)),
            (owner("wiki"), last(None, true)),
        ]
        .into(),
    };
    let servers = vec![ServerConnections {
        instance: "main".to_owned(),
        breaker_open: true,
        usage: Usage {
            busy: 1,
            idle: 2,
            limit: 4,
        },
    }];
    text(Given(Snapshot {
        figures,
        servers,
        failing_watches: vec![("Job", true), ("Pod", false)],
        unreadable: vec![("Database", 2)],
    }))
}

#[test]
fn each_figure_is_a_series() {
    let text = everything();
    let owned = |name| {
        format!("{{database_namespace=\"team-a\",database=\"{name}\",database_instance=\"main\"}}")
    };
    for line in [
        "instance_ready{database_instance=\"main\"} 1",
        "databases{database_instance=\"main\",state=\"CREATED\"} 7",
        "backup_objects{state=\"COMPLETED\"} 3",
        "restore_objects{state=\"LOADING\"} 1",
        "reconciling{kind=\"DatabaseInstance\",database_instance=\"main\",reason=\"Unreachable\"} 1",
        "stalled{kind=\"Database\",database_instance=\"main\",reason=\"ClaimedByAnother\"} 2",
        "final_backups_failing{database_instance=\"main\"} 1",
        &format!(
            "database_last_backup_timestamp_seconds{} 86400",
            owned("orders")
        ),
        &format!("database_last_backup_failed{} 0", owned("orders")),
        &format!("database_last_backup_failed{} 1", owned("wiki")),
        "breaker_open{database_instance=\"main\"} 1",
        "connections{database_instance=\"main\",state=\"busy\"} 1",
        "connections{database_instance=\"main\",state=\"idle\"} 2",
        "connections_limit{database_instance=\"main\"} 4",
        "watch_failing{kind=\"Job\"} 1",
        "watch_failing{kind=\"Pod\"} 0",
        "unreadable_objects{kind=\"Database\"} 2",
    ] {
        assert!(
            text.contains(&format!("\ndb_operator_{line}\n")),
            "no {line} in\n{text}"
        );
    }
    let never = format!("last_backup_timestamp_seconds{}", owned("wiki"));
    assert!(!text.contains(&never), "{text}");
}

#[test]
fn who_stands_by_has_the_names_and_no_sample() {
    let text = text(Objects::default());
    assert!(
        text.contains("# TYPE db_operator_stalled gauge\n"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
}
