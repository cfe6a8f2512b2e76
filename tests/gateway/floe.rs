//! A running gateway: started with a configuration in a directory of its own, stopped or killed.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::parts::Lake;
use super::{laws, send};

/// Long enough for a loaded machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The ports of one gateway.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub prometheus: SocketAddr,
    pub metrics: SocketAddr,
    pub health: SocketAddr,
    pub admin: SocketAddr,
}

pub struct Floe {
    child: Option<Child>,
    pub directory: PathBuf,
    pub ports: Ports,
    /// What its processes find in their environment, beside the test's own.
    pub env: Vec<(&'static str, String)>,
    /// Where its tables are, for `tests/python/read.py`.
    pub source: String,
    /// A command that the gateway is started under; it has to leave the gateway the process that was started.
    pub under: Vec<String>,
}

/// Free ports: bound and let go, so another process could take one; it never has yet.
fn free_ports() -> Ports {
    let sockets: Vec<TcpListener> = (0..6).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let port = |n: usize| sockets[n].local_addr().unwrap();
    Ports { grpc: port(0), http: port(1), prometheus: port(2), metrics: port(3), health: port(4), admin: port(5) }
}

/// The shipped chain; a test replaces or adds lines by text.
pub fn config(ports: &Ports) -> String {
    let Ports { grpc, http, prometheus, metrics, health, admin } = ports;
    format!(
        r#"
receivers:
  otlp: {{ protocols: {{ grpc: {{ endpoint: {grpc} }}, http: {{ endpoint: {http} }} }} }}
processors:
  map: {{ preset: functions, max_event_age: 0 }}
  sanitize: {{}}
  hash_ip: {{ mode: hmac }}
  truncate_stack: {{ max_bytes: 8KiB }}
exporters:
  iceberg:
    catalog: {{ type: sql, uri: "sqlite://floe-data/catalog.db", warehouse: floe-data/warehouse }}
    namespace: analytics
    commit: {{ max_age: 60s, max_bytes: 512MiB }}
  prometheus: {{ endpoint: {prometheus} }}
extensions:
  wal: {{ directory: floe-data/wal }}
  health_check: {{ endpoint: {health} }}
  admin: {{ endpoint: {admin} }}
service:
  telemetry: {{ metrics: {{ address: {metrics} }} }}
  pipelines:
    traces:  {{ receivers: [otlp], processors: [map, sanitize, hash_ip, truncate_stack], exporters: [iceberg, prometheus] }}
    logs:    {{ receivers: [otlp], processors: [map, sanitize, hash_ip, truncate_stack], exporters: [iceberg, prometheus] }}
    metrics: {{ receivers: [otlp], processors: [sanitize], exporters: [prometheus] }}
"#
    )
}

impl Floe {
    /// Starts with the shipped chain in a fresh directory.
    pub fn start() -> Floe {
        Floe::start_with(|config| config)
    }

    /// The same with the configuration changed.
    pub fn start_with(change: impl Fn(String) -> String) -> Floe {
        Floe::start_on(None, change)
    }

    /// The same with its tables in a lake, where one is given.
    pub fn start_on(lake: Option<&Lake>, change: impl Fn(String) -> String) -> Floe {
        let mut floe = Floe::prepare_on(lake, change);
        floe.restart();
        floe
    }

    /// Everything is there but the process.
    pub fn prepare(change: impl Fn(String) -> String) -> Floe {
        Floe::prepare_on(None, change)
    }

    pub fn prepare_on(lake: Option<&Lake>, change: impl Fn(String) -> String) -> Floe {
        let directory = tempfile::Builder::new().prefix("floe-test-").tempdir().unwrap().keep();
        let ports = free_ports();
        let shipped = config(&ports);
        let placed = lake.map_or_else(|| shipped.clone(), |lake| lake.configure(&shipped, false));
        fs::write(directory.join("pipelines.yaml"), change(placed)).unwrap();
        let source = lake.map_or_else(|| directory.join("floe-data").display().to_string(), Lake::source);
        Floe { child: None, directory, ports, env: Vec::new(), source, under: Vec::new() }
    }

    /// Starts the process and waits for nothing.
    pub fn spawn(&mut self) {
        laws::start_anew(self.ports.http);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = self.command("run");
        if let Some((program, arguments)) = self.under.split_first() {
            let gateway = std::mem::replace(&mut command, Command::new(program));
            command.args(arguments).arg(gateway.get_program()).args(gateway.get_args()).current_dir(&self.directory);
            command.stdin(Stdio::null()).envs(self.env.iter().map(|(name, value)| (name, value)));
        }
        self.child = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    /// Waits for the process to end by itself.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                self.child = None;
                return status;
            }
            assert!(Instant::now() < deadline, "the gateway lives on\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts the process, which is to end by itself because it cannot start; gives what it logged.
    pub fn refuses_to_start(&mut self) -> String {
        self.spawn();
        let status = self.wait_for_end();
        assert_eq!(status.code(), Some(1), "{status}\n{}", self.log());
        self.log()
    }

    /// Changes the configuration of the next start.
    pub fn reconfigure(&self, change: impl Fn(String) -> String) {
        let path = self.directory.join("pipelines.yaml");
        fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    }

    /// Starts the process again in the same directory.
    pub fn restart(&mut self) {
        self.spawn();
        self.wait_until_ready();
    }

    /// Waits until the process that was spawned takes requests.
    pub fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while send::get(self.ports.health, "/").map_or(true, |reply| reply.status != 200) {
            let exited = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(exited.is_none() && Instant::now() < deadline, "the gateway did not start: {exited:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// `floe COMMAND` with this gateway's configuration.
    pub fn command(&self, command: &str) -> Command {
        let mut process = Command::new(env!("CARGO_BIN_EXE_floe"));
        process
            .current_dir(&self.directory)
            .arg(command)
            .stdin(Stdio::null())
            .env("RUST_BACKTRACE", "1")
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        process
    }

    /// Runs a command to its end and gives what it printed.
    pub fn run(&self, command: &str) -> String {
        let output = self.command(command).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "floe {command}: {}\n{out}{err}\n{}", output.status, self.log());
        out.into_owned()
    }

    /// The same with arguments.
    pub fn run_with(&self, command: &str, arguments: &[&str]) -> String {
        let output = self.command(command).args(arguments).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "floe {command} {arguments:?}: {}\n{out}{err}\n{}", output.status, self.log());
        out.into_owned()
    }

    /// One of floe's own metrics, by its name and labels as they stand there; `None` where it is not.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let page = send::get(self.ports.metrics, "/metrics").unwrap().text();
        let line = page.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// Waits until `done`, or fails with what it waits for.
    pub fn wait_until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < deadline, "{what} never came\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Commits what is held.
    pub fn flush(&self) {
        self.run("flush");
    }

    /// Flushes until everything is committed: a flush that met a fault says so.
    pub fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.command("flush").output().unwrap().status.success() {
            assert!(Instant::now() < deadline, "it does not settle\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn kill_9(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Holds both laws, then SIGTERM, then waits for the exit.
    pub fn terminate(&mut self) -> ExitStatus {
        laws::check(self);
        let mut child = self.child.take().unwrap();
        let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "no exit after SIGTERM\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where catalog, warehouse and log are.
    pub fn data(&self) -> PathBuf {
        self.directory.join("floe-data")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.join("floe.log")
    }

    /// The last lines that the gateway logged.
    pub fn log(&self) -> String {
        let mut tail = String::new();
        if let Ok(file) = fs::File::open(self.log_path()) {
            let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
            for line in lines.iter().rev().take(40).rev() {
                let _ = writeln!(tail, "  | {line}");
            }
        }
        tail
    }

    /// The resident memory of the process in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// The most that was resident since the start, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    fn memory_kib(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Holds both laws first. The directory stays for a look where a test failed.
impl Drop for Floe {
    fn drop(&mut self) {
        if self.child.is_some() && !std::thread::panicking() {
            laws::check(self);
        }
        self.stop();
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Every file below a directory.
pub fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { left.push(path) } else { found.push(path) }
        }
    }
    found
}
