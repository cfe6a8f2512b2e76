//! Exporters: where cleared rows and points go once they are durable.
//!
//! | file | exporter |
//! |---|---|
//! | [`iceberg`] | the four tables of a catalog |
//! | [`prometheus`] | an endpoint to scrape: rows by function, and the points that SDKs send |

pub mod iceberg;
pub mod prometheus;
