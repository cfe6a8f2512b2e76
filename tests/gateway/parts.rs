//! Real parts beside floe: MinIO, which checks signatures, and Apache's own REST catalog. One of each serves all tests of a run; a test has a
//! namespace of its own.
//!
//! `./test` installs them (`tests/parts`) and names their folders in `FLOE_TEST_MINIO` and `FLOE_TEST_REST_CATALOG`. Without them a test is
//! skipped by name; with `CI=true` it fails.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::floe::PATIENCE;
use super::send;

pub const ACCESS_KEY: &str = "floe";
pub const SECRET_KEY: &str = "floe-secret";
const BUCKET: &str = "floe";

/// A catalog and an object store, and a namespace that nobody else uses.
#[derive(Clone, Debug)]
pub struct Lake {
    pub catalog: SocketAddr,
    pub s3: SocketAddr,
    pub namespace: String,
}

/// Where a suite keeps its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warehouse {
    SqliteAndFiles,
    RestAndS3,
}

impl Lake {
    /// `None` where the parts are not installed: the test is skipped by name.
    pub fn open() -> Option<Lake> {
        static SERVERS: OnceLock<Option<(SocketAddr, SocketAddr)>> = OnceLock::new();
        static NAMESPACES: AtomicU32 = AtomicU32::new(0);
        let Some((catalog, s3)) = *SERVERS.get_or_init(start) else {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            assert!(std::env::var_os("CI").is_none(), "in CI nothing may be skipped: FLOE_TEST_MINIO, FLOE_TEST_REST_CATALOG");
            println!("SKIPPED {test}: FLOE_TEST_MINIO and FLOE_TEST_REST_CATALOG are not set, run it with ./test");
            return None;
        };
        let namespace = format!("analytics_{}", NAMESPACES.fetch_add(1, Ordering::Relaxed));
        Some(Lake { catalog, s3, namespace })
    }

    /// The same tables, through something that stands before the catalog.
    pub fn through(&self, catalog: SocketAddr) -> Lake {
        Lake { catalog, ..self.clone() }
    }

    /// The shipped configuration with its tables here. Keys come from the catalog, or from the configuration.
    pub fn configure(&self, config: &str, vended: bool) -> String {
        let Lake { catalog, s3, namespace } = self;
        let keys = if vended { String::new() } else { format!(", access_key_id: {ACCESS_KEY}, secret_access_key: {SECRET_KEY}") };
        let sqlite = "catalog: { type: sql, uri: \"sqlite://floe-data/catalog.db\", warehouse: floe-data/warehouse }";
        assert!(config.contains(sqlite), "{config}");
        config
            .replace(
                sqlite,
                &format!(
                    "catalog: {{ type: rest, uri: \"http://{catalog}\" }}\n    \
                     storage: {{ type: s3, endpoint: \"http://{s3}\", region: us-east-1, path_style: true{keys} }}"
                ),
            )
            .replace("namespace: analytics", &format!("namespace: {namespace}"))
            .replace("preset: functions", "preset: functions, id_key: an-id-key-of-the-tests")
            .replace("mode: hmac", "mode: hmac, key: an-ip-key-of-the-tests")
    }

    /// What `tests/python/read.py` calls this place.
    pub fn source(&self) -> String {
        format!("rest http://{} http://{} {}", self.catalog, self.s3, self.namespace)
    }
}

fn start() -> Option<(SocketAddr, SocketAddr)> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (minio, catalog) = (folder("FLOE_TEST_MINIO")?, folder("FLOE_TEST_REST_CATALOG")?);
    let data = data_directory();
    let s3 = free();
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(minio.join("minio"))
        .args(["server", "--quiet", "--address", &s3.to_string()])
        .arg(data.join("objects"))
        .env("MINIO_ROOT_USER", ACCESS_KEY)
        .env("MINIO_ROOT_PASSWORD", SECRET_KEY)
        .envs([("MINIO_BROWSER", "off"), ("MINIO_UPDATE", "off"), ("GOMEMLIMIT", "256MiB")]);
    run(command, &data.join("minio.log"));
    await_status(s3, "/minio/health/ready");
    make_bucket(s3);

    let address = free();
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
        .arg(format!("{}:{}", catalog.join("classes").display(), catalog.join("catalog.jar").display()))
        .args(["org.apache.iceberg.rest.RestCatalog", &address.port().to_string()])
        .envs([
            ("AWS_REGION", "us-east-1"),
            ("CATALOG_CATALOG__IMPL", "org.apache.iceberg.jdbc.JdbcCatalog"),
            ("CATALOG_JDBC_SCHEMA__VERSION", "V1"),
            ("CATALOG_WAREHOUSE", "s3://floe/warehouse"),
            ("CATALOG_IO__IMPL", "org.apache.iceberg.aws.s3.S3FileIO"),
            ("CATALOG_S3_PATH__STYLE__ACCESS", "true"),
            ("CATALOG_S3_ACCESS__KEY__ID", ACCESS_KEY),
            ("CATALOG_S3_SECRET__ACCESS__KEY", SECRET_KEY),
            ("CATALOG_INCLUDE__CREDENTIALS", "true"),
        ])
        .env("CATALOG_S3_ENDPOINT", format!("http://{s3}"))
        .env("CATALOG_URI", format!("jdbc:sqlite:{}", data.join("catalog.db").display()));
    run(command, &data.join("catalog.log"));
    await_status(address, "/v1/config");
    Some((address, s3))
}

/// Of this run; those of runs that are over are removed first.
fn data_directory() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let over = name.strip_prefix("lake-").is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if over {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let data = root.join(format!("lake-{}", std::process::id()));
    std::fs::create_dir_all(&data).unwrap();
    data
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Runs until this process ends. Its parent is a thread that never does: the signal follows the thread, not the process.
fn run(mut command: Command, log: &Path) {
    let log = std::fs::File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    std::thread::spawn(move || {
        let mut child = command.spawn().unwrap();
        let _ = child.wait();
        loop {
            std::thread::park();
        }
    });
}

fn await_status(server: SocketAddr, path: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !send::get(server, path).is_ok_and(|reply| reply.status == 200) {
        assert!(Instant::now() < deadline, "no answer from {server}{path}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn make_bucket(s3: SocketAddr) {
    let made = Command::new("curl")
        // Ready it says, and not yet for writing.
        .args([
            "-fsS",
            "--retry",
            "20",
            "--retry-delay",
            "1",
            "-o",
            "/dev/null",
            "-X",
            "PUT",
            "--aws-sigv4",
            "aws:amz:us-east-1:s3",
        ])
        .args(["--user", &format!("{ACCESS_KEY}:{SECRET_KEY}"), &format!("http://{s3}/{BUCKET}")])
        .status()
        .unwrap();
    assert!(made.success(), "no bucket {BUCKET} on {s3}");
}
