//! `up`: from whatever is there to a Ready node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cgroup::Cgroup;
use super::namespaces::{self, Init};
use super::parts::{self, Part};
use super::process::Process;
use super::ready::ended;
use super::{Cluster, files, launch, network, pause};
use crate::cache::{Cache, Key, require_space};
use crate::{Error, Result, command, host, tools};

/// What a running cluster writes below its state folder at the least, in bytes.
const SPACE: u64 = 2 * 1024 * 1024 * 1024;
/// How long the namespaces may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `up` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Up {
    /// A fresh cluster was started.
    Started,
    /// The cluster ran, but these of its parts did not and were started again.
    Repaired(Vec<&'static str>),
    /// The cluster ran and nothing was changed.
    AlreadyRunning,
}

/// Everything that is decided before anything is started.
struct Plan {
    cgroup: Cgroup,
    programs: Vec<PathBuf>,
    images: PathBuf,
    pause: PathBuf,
    configuration: Vec<(&'static str, String)>,
    base: Vec<Part>,
    workers: Vec<Part>,
    /// Of all the above: a cluster that runs with another one is not this cluster.
    key: String,
}

impl Cluster {
    /// Brings the cluster up: does nothing if it runs, starts what is missing of it, or starts it afresh.
    ///
    /// If another clone used it last, that one's operator, CRDs and test namespaces are removed from it.
    /// Whatever a crash, a `kill -9` or half a start left behind is cleared away first, and a failed start leaves
    /// nothing behind. The caller holds the [`lock`](Cluster::lock).
    pub fn up(&self) -> Result<Up> {
        host::require_root()?;
        let cache = Cache::open()?;
        host::ensure_packages(&cache)?;
        let plan = self.plan(&cache)?;
        if let Some(init) = self.running(&plan) {
            match self.ensure_parts(init, &plan) {
                Ok(started) => {
                    self.take_over()?;
                    return Ok(if started.is_empty() {
                        Up::AlreadyRunning
                    } else {
                        Up::Repaired(started)
                    });
                }
                Err(error) => {
                    let error = error.to_string();
                    let why = error.lines().next().unwrap_or_default();
                    command::say(&format!(
                        "The cluster cannot be repaired ({why}), so it is started afresh"
                    ));
                }
            }
        }
        if self.init().is_some() {
            command::say(
                "What runs is only half of a cluster, or from other programs or settings: starting it afresh",
            );
        }
        self.down()?;
        network::require_free(self.settings())?;
        self.start(&plan)
            .map_err(|error| self.clear_away(&cache, error))?;
        Ok(Up::Started)
    }

    fn plan(&self, cache: &Cache) -> Result<Plan> {
        let cgroup = Cgroup::new(self.settings().name)?;
        let programs = tools::ensure(cache, &tools::CLUSTER)?;
        let images = cache.root().join("containerd").join(self.settings().name);
        let configuration = files::configuration(self, &cgroup.path(), &images)?;
        let (base, workers) = (parts::base(self), parts::workers(self));
        let key = programs.iter().fold(Key::new(), |key, folder| {
            key.text(&folder.to_string_lossy())
        });
        let key = configuration
            .iter()
            .fold(key, |key, (path, text)| key.text(path).text(text));
        let key = base
            .iter()
            .chain(&workers)
            .fold(key, |key, part| {
                key.text(part.name).text(&part.arguments.join(" "))
            })
            .hex();
        Ok(Plan {
            cgroup,
            programs,
            images,
            pause: pause::archive(cache)?,
            configuration,
            base,
            workers,
            key,
        })
    }

    /// The first process of a cluster that was started whole and from the same plan.
    fn running(&self, plan: &Plan) -> Option<Process> {
        let init = self.init()?;
        let key = fs::read_to_string(self.key_file()).ok()?;
        (key == plan.key).then_some(init)
    }

    fn start(&self, plan: &Plan) -> Result<()> {
        for folder in [self.state_dir(), &plan.images] {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        require_space(self.state_dir(), SPACE, "a cluster")?;
        link_programs(&plan.programs, &self.tools_dir())?;
        files::write(self, &plan.configuration)?;
        plan.cgroup.create()?;
        let init = self.start_init(plan)?;
        self.record_user()?;
        self.ensure_parts(init, plan)?;
        // Last, so that half a start is never taken for a cluster.
        fs::write(self.key_file(), &plan.key).map_err(Error::io("write", &self.key_file()))
    }

    fn start_init(&self, plan: &Plan) -> Result<Process> {
        let log = self.logs_dir().join("init.log");
        let script = self.state_dir().join("etc/init.sh");
        let init = Init::start(launch::first(&plan.cgroup, &script, &log)?)?;
        init.process.record(&self.init_file())?;
        network::connect(self.settings(), init.process.pid)?;
        let process = init.process;
        init.go()?;
        let ready = self.run_dir().join("ready");
        command::wait_until("The cluster's namespaces", PATIENCE, Some(&log), || {
            if process.is_alive() {
                Ok(ready.is_file())
            } else {
                Err(ended("the cluster's first process", &log))
            }
        })?;
        Ok(process)
    }

    fn spawn(&self, part: &Part, init: Process, plan: &Plan) -> Result<()> {
        let program = self.tools_dir().join(part.name);
        let command = launch::background(&plan.cgroup, &program, &part.arguments, &part.log(self));
        let process = namespaces::start_in(init, command)?;
        process
            .ok_or_else(|| ended(part.name, &part.log(self)))?
            .record(&self.process_file(part.name))
    }

    /// Starts the parts that do not run, each stage once the one before is ready, and waits until all do their work.
    fn ensure_parts(&self, init: Process, plan: &Plan) -> Result<Vec<&'static str>> {
        let mut started = self.ensure_stage(&plan.base, init, plan)?;
        self.import_pause(&plan.pause)?;
        self.bootstrap()?;
        started.extend(self.ensure_stage(&plan.workers, init, plan)?);
        self.wait_for_whole()?;
        Ok(started)
    }

    fn ensure_stage(
        &self,
        stage: &[Part],
        init: Process,
        plan: &Plan,
    ) -> Result<Vec<&'static str>> {
        let missing: Vec<&Part> = stage
            .iter()
            .filter(|part| self.process(part.name).is_none())
            .collect();
        missing
            .iter()
            .try_for_each(|part| self.spawn(part, init, plan))?;
        stage
            .iter()
            .try_for_each(|part| self.wait_for_part(part.name))?;
        Ok(missing.iter().map(|part| part.name).collect())
    }

    fn bootstrap(&self) -> Result<()> {
        let manifest = self.state_dir().join("etc/bootstrap.yaml");
        // The default roles, which the bindings refer to, appear shortly after the API server is ready.
        self.wait_while_running(
            "kube-apiserver",
            "the API server has its default roles",
            || command::output(self.kubectl().arg("apply").arg("-f").arg(&manifest)).is_ok(),
        )
    }

    fn import_pause(&self, archive: &Path) -> Result<()> {
        let known = command::output(self.ctr().args(["images", "list", "-q"]))?;
        if known.lines().any(|name| name == pause::NAME) {
            return Ok(());
        }
        command::output(self.ctr().args(["images", "import"]).arg(archive)).map(drop)
    }

    /// After a failed start: keeps the logs, takes all the rest away, and makes the error point to the logs' new place.
    fn clear_away(&self, cache: &Cache, error: Error) -> Error {
        let logs = self.logs_dir();
        let kept = cache
            .root()
            .join("logs")
            .join(format!("{}-failed", self.settings().name));
        let _ = fs::remove_dir_all(&kept);
        let copied = Command::new("cp")
            .arg("-a")
            .arg(&logs)
            .arg(&kept)
            .output()
            .is_ok_and(|copy| copy.status.success());
        if let Err(second) = self.down() {
            command::say(&format!(
                "What was started could not be taken away again, so run `cargo xtask down`: {second}"
            ));
        }
        if copied {
            error.with_moved_logs(&logs, &kept)
        } else {
            error
        }
    }
}

/// Puts all programs into one folder that is the cluster's own, so that it outlives what becomes of the cache.
fn link_programs(folders: &[PathBuf], into: &Path) -> Result<()> {
    fs::create_dir_all(into).map_err(Error::io("create", into))?;
    for folder in folders {
        for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
            let from = entry.map_err(Error::io("read", folder))?.path();
            let Some(name) = from.file_name() else {
                continue;
            };
            let to = into.join(name);
            // Another file system takes a copy.
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to)
                    .map(drop)
                    .map_err(Error::io("copy", &from))?;
            }
        }
    }
    Ok(())
}
