//! Exporters: what takes rows out of floe.
//!
//! | file | what it does |
//! |---|---|
//! | [`iceberg`] | rows from the log to Iceberg tables, each once |

pub mod iceberg;
