//! `up`: from whatever is there to a Ready node.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::cgroup::Cgroup;
use super::namespaces::{self, Init};
use super::parts::{self, Part};
use super::process::Process;
use super::{Cluster, files, network, pause};
use crate::cache::{Cache, Key, require_space};
use crate::{Error, Result, command, host, tools};

/// What a running cluster writes below its state folder at the least, in bytes.
const SPACE: u64 = 2 * 1024 * 1024 * 1024;
/// How long a part may take to become ready on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

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
    parts: Vec<Part>,
    /// Of all the above: a cluster that runs with another one is not this cluster.
    key: String,
}

impl Cluster {
    /// Brings the cluster up: does nothing if it runs, starts what is missing of it, or starts it afresh.
    ///
    /// Whatever a crash, a `kill -9` or half a start left behind is cleared away first, and a failed start leaves
    /// nothing behind. The caller holds the [`lock`](Cluster::lock).
    pub fn up(&self) -> Result<Up> {
        host::require_root()?;
        let cache = Cache::open()?;
        host::ensure_packages(&cache)?;
        let plan = self.plan(&cache)?;
        if let Some(init) = self.running(&plan) {
            match self.repair(init, &plan) {
                Ok(done) => return Ok(done),
                Err(error) => command::say(&format!(
                    "The cluster cannot be repaired, so it is started afresh: {error}"
                )),
            }
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
        let parts = parts::all(self);
        let key = programs.iter().fold(Key::new(), |key, folder| {
            key.text(&folder.to_string_lossy())
        });
        let key = configuration
            .iter()
            .fold(key, |key, (path, text)| key.text(path).text(text));
        let key = parts
            .iter()
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
            parts,
            key,
        })
    }

    /// The first process of a cluster that was started whole and from the same plan.
    fn running(&self, plan: &Plan) -> Option<Process> {
        let init = self.init()?;
        let key = fs::read_to_string(self.key_file()).ok()?;
        (key == plan.key && self.run_dir().join("ready").is_file()).then_some(init)
    }

    fn repair(&self, init: Process, plan: &Plan) -> Result<Up> {
        let missing: Vec<&Part> = plan
            .parts
            .iter()
            .filter(|part| self.process(part.name).is_none())
            .collect();
        for part in &missing {
            command::say(&format!("{} is not running; starting it again", part.name));
            self.spawn(part, init, plan)?;
        }
        self.wait(plan)?;
        if missing.is_empty() {
            return Ok(Up::AlreadyRunning);
        }
        Ok(Up::Repaired(missing.iter().map(|part| part.name).collect()))
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
        fs::write(self.key_file(), &plan.key).map_err(Error::io("write", &self.key_file()))?;
        self.record_user()?;
        plan.parts
            .iter()
            .try_for_each(|part| self.spawn(part, init, plan))?;
        self.wait(plan)
    }

    fn start_init(&self, plan: &Plan) -> Result<Process> {
        let log = self.logs_dir().join("init.log");
        let script = self.state_dir().join("etc/init.sh");
        let init = Init::start(detached(
            &plan.cgroup,
            Path::new("bash"),
            &[script.display().to_string()],
            &log,
        )?)?;
        init.process.record(&self.init_file())?;
        network::connect(self.settings(), init.process.pid)?;
        let process = init.process;
        init.go()?;
        let ready = self.run_dir().join("ready");
        command::wait_until("The cluster's namespaces", PATIENCE, Some(&log), || {
            alive("The cluster's first process", process, &log)?;
            Ok(ready.is_file())
        })?;
        Ok(process)
    }

    fn spawn(&self, part: &Part, init: Process, plan: &Plan) -> Result<()> {
        let program = self.tools_dir().join(part.name);
        let mut command = detached(&plan.cgroup, &program, &part.arguments, &part.log(self))?;
        command.stdin(Stdio::null());
        namespaces::start_in(init, command)?.record(&self.process_file(part.name))
    }

    /// Waits until every part does its work.
    fn wait(&self, plan: &Plan) -> Result<()> {
        let ready = |name: &'static str, mut condition: Box<dyn FnMut() -> bool + '_>| {
            let log = self.logs_dir().join(format!("{name}.log"));
            command::wait_until(&format!("{name} is ready"), PATIENCE, Some(&log), || {
                let process = self.process(name).ok_or_else(|| ended(name, &log))?;
                alive(name, process, &log)?;
                Ok(condition())
            })
        };
        let answers = |arguments: &'static [&'static str], expected: &'static str| {
            Box::new(move || {
                command::output(self.kubectl().args(arguments))
                    .is_ok_and(|answer| answer.contains(expected))
            })
        };
        let node = self.settings().node_address();
        let healthy = |port: u16, path: &'static str| {
            Box::new(move || http_ok(SocketAddr::from((node, port)), path))
        };

        ready("etcd", Box::new(|| true))?;
        ready(
            "containerd",
            Box::new(|| command::output(self.ctr().arg("version")).is_ok()),
        )?;
        self.import_pause(&plan.pause)?;
        ready(
            "kube-apiserver",
            answers(&["get", "--raw", "/readyz"], "ok"),
        )?;
        let bootstrap = self.state_dir().join("etc/bootstrap.yaml");
        // The default roles, which the bindings refer to, appear shortly after the API server is ready.
        ready(
            "kube-apiserver",
            Box::new(|| {
                command::output(self.kubectl().arg("apply").arg("-f").arg(&bootstrap)).is_ok()
            }),
        )?;
        ready("kube-scheduler", Box::new(|| true))?;
        let ready_node = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}";
        ready(
            "kubelet",
            Box::new(move || {
                command::output(self.kubectl().args(["get", "nodes", "-o", ready_node]))
                    .is_ok_and(|answer| answer == "True")
            }),
        )?;
        ready("kube-proxy", healthy(10256, "/healthz"))?;
        ready("coredns", healthy(8181, "/ready"))?;
        ready(
            "kube-controller-manager",
            answers(
                &["get", "serviceaccount", "default", "-o", "name"],
                "default",
            ),
        )?;
        let service = SocketAddr::from((self.settings().api_service_address(), 443));
        ready(
            "kube-proxy",
            Box::new(move || TcpStream::connect_timeout(&service, Duration::from_secs(1)).is_ok()),
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

/// A command that moves itself into the cluster's cgroup and a session of its own, with its output appended to `log`.
fn detached(cgroup: &Cgroup, program: &Path, arguments: &[String], log: &Path) -> Result<Command> {
    let output = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(Error::io("open", log))?;
    let errors = output.try_clone().map_err(Error::io("open", log))?;
    let entrances: Vec<String> = cgroup
        .entrances()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "for entrance in $0; do echo 0 >\"$entrance\" || exit; done; exec setsid \"$@\"",
    ]);
    command
        .arg(entrances.join(" "))
        .arg(program)
        .args(arguments);
    // Nothing of the caller's: no proxies, no credentials, no language.
    let tools = program
        .parent()
        .map(|folder| format!("{}:", folder.display()))
        .unwrap_or_default();
    command.env_clear().env(
        "PATH",
        format!("{tools}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    );
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    Ok(command)
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

fn alive(name: &str, process: Process, log: &Path) -> Result<()> {
    if process.is_alive() {
        Ok(())
    } else {
        Err(ended(name, log))
    }
}

fn ended(name: &str, log: &Path) -> Error {
    Error::Failed {
        what: name.to_owned(),
        status: "it ended".to_owned(),
        tail: command::tail(log),
    }
}

/// Whether a GET of this path is answered with 200.
fn http_ok(address: SocketAddr, path: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut start = [0; 12];
        stream.read_exact(&mut start)?;
        Ok(start.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}
