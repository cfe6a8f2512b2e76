//! Real parts beside floe: MinIO, which checks signatures, Apache's own REST catalog, and Nessie. One of each serves all tests of a run; a test
//! has a namespace of its own.
//!
//! `./test` installs them (`tests/parts`) and names their folders in `FLOE_TEST_MINIO` and `FLOE_TEST_REST_CATALOG`. Without them a test is
//! skipped by name; with `CI=true` it fails. Nessie comes on demand: `FLOE_TEST_NESSIE=$(tests/parts/nessie.sh) ./test nessie`.

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
    /// Of its address: where it does not begin at the root.
    path: &'static str,
    pub s3: SocketAddr,
    pub namespace: String,
}

impl Lake {
    /// `None` where the parts are not installed: the test is skipped by name.
    pub fn open() -> Option<Lake> {
        static SERVERS: OnceLock<Option<(SocketAddr, SocketAddr)>> = OnceLock::new();
        let Some((catalog, s3)) = *SERVERS.get_or_init(start) else {
            skipped("FLOE_TEST_MINIO and FLOE_TEST_REST_CATALOG are not set");
            return None;
        };
        Some(Lake { catalog, path: "", s3, namespace: namespace() })
    }

    /// The same with Nessie before the store, on demand.
    pub fn of_nessie() -> Option<Lake> {
        static SERVER: OnceLock<SocketAddr> = OnceLock::new();
        // Nobody asked for it: no reason for a word.
        let folder = PathBuf::from(std::env::var_os("FLOE_TEST_NESSIE")?);
        let Lake { s3, namespace, .. } = Lake::open()?;
        let catalog = *SERVER.get_or_init(|| start_nessie(&folder, s3));
        Some(Lake { catalog, path: "/iceberg", s3, namespace })
    }

    pub fn uri(&self) -> String {
        format!("http://{}{}", self.catalog, self.path)
    }

    /// The same tables, through something that stands before the catalog.
    pub fn through(&self, catalog: SocketAddr) -> Lake {
        Lake { catalog, ..self.clone() }
    }

    /// The shipped configuration with its tables here. Keys come from the catalog, or from the configuration.
    pub fn configure(&self, config: &str, vended: bool) -> String {
        let Lake { s3, namespace, .. } = self;
        let uri = self.uri();
        let keys = if vended { String::new() } else { format!(", access_key_id: {ACCESS_KEY}, secret_access_key: {SECRET_KEY}") };
        let sqlite = "catalog: { type: sql, uri: \"sqlite://floe-data/catalog.db\", warehouse: floe-data/warehouse }";
        assert!(config.contains(sqlite), "{config}");
        config
            .replace(
                sqlite,
                &format!(
                    "catalog: {{ type: rest, uri: \"{uri}\" }}\n    \
                     storage: {{ type: s3, endpoint: \"http://{s3}\", region: us-east-1, path_style: true{keys} }}"
                ),
            )
            .replace("namespace: analytics", &format!("namespace: {namespace}"))
            .replace("preset: functions", "preset: functions, id_key: an-id-key-of-the-tests")
            .replace("mode: hmac", "mode: hmac, key: an-ip-key-of-the-tests")
    }

    /// What `tests/python/read.py` calls this place.
    pub fn source(&self) -> String {
        format!("rest {} http://{} {}", self.uri(), self.s3, self.namespace)
    }
}

/// With `CI=true` nothing may be skipped.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var_os("CI").is_none(), "in CI nothing may be skipped: {why}");
    println!("SKIPPED {test}: {why}, run it with ./test");
}

fn namespace() -> String {
    static NAMESPACES: AtomicU32 = AtomicU32::new(0);
    format!("analytics_{}", NAMESPACES.fetch_add(1, Ordering::Relaxed))
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

/// With its state in memory, its tables in MinIO.
fn start_nessie(folder: &Path, s3: SocketAddr) -> SocketAddr {
    let address = free();
    let store = "-Dnessie.catalog.service.s3.default-options";
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(folder.join("java"))
        .args(["-Xmx512m", "-XX:+UseSerialGC", "-Dquarkus.otel.sdk.disabled=true", "-Dquarkus.http.host=127.0.0.1"])
        .arg(format!("-Dquarkus.http.port={}", address.port()))
        .args(["-Dquarkus.management.host=127.0.0.1", "-Dquarkus.management.port=0", "-Dnessie.version.store.type=IN_MEMORY"])
        .args(["-Dnessie.catalog.default-warehouse=warehouse"])
        .arg(format!("-Dnessie.catalog.warehouses.warehouse.location=s3://{BUCKET}/nessie"))
        .arg(format!("{store}.endpoint=http://{s3}"))
        .args([format!("{store}.region=us-east-1"), format!("{store}.path-style-access=true")])
        // Not below `nessie.`, where secrets are not taken.
        .arg(format!("{store}.access-key=urn:nessie-secret:quarkus:s3-key"))
        .args([format!("-Ds3-key.name={ACCESS_KEY}"), format!("-Ds3-key.secret={SECRET_KEY}")])
        .arg("-jar")
        .arg(folder.join("nessie.jar"));
    run(command, &data_directory().join("nessie.log"));
    await_status(address, "/iceberg/v1/config");
    address
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
    // A server in Java takes minutes where others are at work.
    let deadline = Instant::now() + 5 * PATIENCE;
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
