//! Exporters: where cleared rows and points go once they are durable.
//!
//! | file | exporter |
//! |---|---|
//! | [`iceberg`] | rows from the log to Iceberg tables, each once |
//! | [`prometheus`] | an endpoint to scrape: rows by function, and the points that SDKs send |

pub mod iceberg;
pub mod prometheus;
