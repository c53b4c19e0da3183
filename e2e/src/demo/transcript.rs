//! Commands that were run and what they answered, as a person would see them in a terminal.

use std::process::Command;

use crate::cluster::Cluster;
use crate::{Result, clone_root, command};

/// Why something is run, and what: a line for a shell, or several. Without a why it goes on with the step before.
pub(super) struct Step(pub &'static str, pub &'static str);

/// Runs the steps and returns them with their answers.
pub(super) fn transcript(cluster: &Cluster, steps: &[Step]) -> Result<String> {
    let mut text = String::new();
    for Step(why, line) in steps {
        let answer = run(cluster, line)?;
        if !why.is_empty() {
            text.extend(["\n  # ", why, "\n"]);
        }
        for line in line.lines().chain(answer.lines()).enumerate().map(prompted) {
            text += &line;
        }
    }
    Ok(text)
}

fn prompted((number, line): (usize, &str)) -> String {
    let prompt = if number == 0 { "$ " } else { "" };
    format!("  {prompt}{line}\n")
}

/// Runs a line and returns its answer.
pub(super) fn run(cluster: &Cluster, line: &str) -> Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", line])
        .current_dir(clone_root())
        .env("PATH", format!("{}:{path}", cluster.tools_dir().display()))
        .env("KUBECONFIG", cluster.kubeconfig());
    command::output(&mut shell)
}
