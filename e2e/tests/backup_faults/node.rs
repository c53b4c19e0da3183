//! The processes of a pod. The cluster's node is this machine: they are processes here.

use std::fs;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a process may take to appear.
const LIMIT: Duration = Duration::from_mins(2);

/// Waits for a process of this name in a pod, and ends it at once.
pub async fn kill_process(pod: &Pod, name: &str) {
    let began = Instant::now();
    loop {
        if let Some(pid) = process(&pod.uid().unwrap(), name) {
            kill(pid, Signal::SIGKILL).unwrap();
            return;
        }
        assert!(began.elapsed() < LIMIT, "{} runs no {name}", pod.name_any());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The process of this name in this pod; only there.
fn process(pod: &str, name: &str) -> Option<Pid> {
    let group = format!("/pod{pod}/");
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let number: i32 = entry.file_name().to_str()?.parse().ok()?;
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).ok();
        let is = read("comm")?.trim() == name && read("cgroup")?.contains(&group);
        is.then(|| Pid::from_raw(number))
    })
}

/// Waits for a process of this name in a pod.
pub async fn runs(pod: &Pod, name: &str) {
    let began = Instant::now();
    while process(&pod.uid().unwrap(), name).is_none() {
        assert!(began.elapsed() < LIMIT, "{} runs no {name}", pod.name_any());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
