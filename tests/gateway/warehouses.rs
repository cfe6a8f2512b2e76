//! Where a test keeps its tables: the catalogs and stores that floe is for, and what stands before them. One list of cases runs on each of them
//! ([`super::everywhere`]), another one on each that is reached over HTTP ([`super::answers`]).
//!
//! | | catalog | store | keys |
//! |---|---|---|---|
//! | `SqliteAndFiles` | an SQLite file | files | |
//! | `RestAndS3` | Apache's own | MinIO | vended |
//! | `R2` | the stand-in, before Apache's | the stand-in, before MinIO | vended, and short-lived |
//! | `Nessie`, if `FLOE_TEST_NESSIE` is given | Nessie | MinIO | of the configuration |

use std::time::Duration;

use tempfile::TempDir;

use super::floe::Floe;
use super::parts::Lake;
use super::proxy::Proxy;
use super::r2::{self, R2};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warehouse {
    SqliteAndFiles,
    RestAndS3,
    R2,
    Nessie,
}

/// A warehouse of one test, empty at first. Any number of gateways write to it.
#[derive(Debug)]
pub struct Place {
    pub warehouse: Warehouse,
    directory: TempDir,
    remote: Option<Remote>,
}

/// What a gateway reaches over the network.
#[derive(Debug)]
struct Remote {
    lake: Lake,
    r2: Option<R2>,
    /// Between the gateways and their catalog.
    proxy: Proxy,
}

impl Place {
    /// `None` where the parts are not installed: the test is skipped by name.
    pub fn open(warehouse: Warehouse) -> Option<Place> {
        let lake = match warehouse {
            Warehouse::SqliteAndFiles => None,
            Warehouse::RestAndS3 | Warehouse::R2 => Some(Lake::open()?),
            Warehouse::Nessie => Some(Lake::of_nessie()?),
        };
        let remote = lake.map(|lake| {
            let r2 = (warehouse == Warehouse::R2).then(|| R2::before(&lake));
            if let Some(r2) = &r2 {
                // So that a test can wait for its limits.
                r2.set_minute(Duration::from_secs(5));
            }
            let proxy = Proxy::before(r2.as_ref().map_or(lake.catalog, |r2| r2.catalog));
            Remote { lake, r2, proxy }
        });
        Some(Place { warehouse, directory: tempfile::tempdir().unwrap(), remote })
    }

    /// The proxy before the catalog. There is none before a file.
    pub fn proxy(&self) -> &Proxy {
        &self.remote.as_ref().unwrap().proxy
    }

    pub fn r2(&self) -> &R2 {
        self.remote.as_ref().unwrap().r2.as_ref().unwrap()
    }

    pub fn lake(&self) -> &Lake {
        &self.remote.as_ref().unwrap().lake
    }

    /// What `tests/python/read.py` calls this place.
    pub fn source(&self) -> String {
        self.remote.as_ref().map_or_else(|| self.directory.path().display().to_string(), |remote| remote.lake.source())
    }

    /// What every location in it begins with.
    pub fn scheme(&self) -> &'static str {
        if self.remote.is_some() { "s3://floe/" } else { "file:///" }
    }

    /// A configuration with its tables here.
    pub fn configure(&self, config: &str) -> String {
        let Some(Remote { lake, r2, proxy }) = &self.remote else {
            return config
                .replace("floe-data/catalog.db", &format!("{}/catalog.db", self.directory.path().display()))
                .replace("warehouse: floe-data/warehouse", &format!("warehouse: {}/warehouse", self.directory.path().display()));
        };
        match r2 {
            Some(r2) => r2.configure(config, proxy.address, &format!("token: {}", r2::TOKEN)),
            None => lake.through(proxy.address).configure(config, self.warehouse == Warehouse::RestAndS3),
        }
    }

    /// A gateway of this place that runs.
    pub fn start(&self) -> Floe {
        self.start_with(|config| config)
    }

    /// The same with the configuration changed.
    pub fn start_with(&self, change: impl Fn(String) -> String) -> Floe {
        let mut floe = self.prepare_with(change);
        floe.restart();
        floe
    }

    /// The same without its process.
    pub fn prepare_with(&self, change: impl Fn(String) -> String) -> Floe {
        let mut floe = Floe::prepare(|config| change(self.configure(&config)));
        floe.source = self.source();
        floe
    }
}

/// Each case is a test on each warehouse.
macro_rules! everywhere {
    ($($case:ident),+ $(,)?) => {
        mod on_sqlite_and_files { $crate::warehouses::cases!(SqliteAndFiles: $($case),+); }
        $crate::warehouses::over_http!($($case),+);
    };
}

/// Each case is a test on each warehouse whose catalog is reached over HTTP.
macro_rules! over_http {
    ($($case:ident),+ $(,)?) => {
        mod on_rest_and_s3 { $crate::warehouses::cases!(RestAndS3: $($case),+); }
        mod on_r2 { $crate::warehouses::cases!(R2: $($case),+); }
        mod on_nessie { $crate::warehouses::cases!(Nessie: $($case),+); }
    };
}

macro_rules! cases {
    ($warehouse:ident: $($case:ident),+) => {
        $(#[test]
        fn $case() {
            if let Some(place) = $crate::warehouses::Place::open($crate::warehouses::Warehouse::$warehouse) {
                super::$case(&place);
            }
        })+
    };
}

pub(crate) use {cases, everywhere, over_http};
