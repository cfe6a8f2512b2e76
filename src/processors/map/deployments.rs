//! Rows of `deployments`: from logs of the event `faas.deployment`, and from spans of CI/CD pipelines that deploy.
//!
//! No convention has such an event; docs/mapping.md has floe's. A `deployment.id` on a resource is no deployment.

use std::borrow::Cow;

use super::Pass;
use super::cells::is_word;
use super::identity::DerivedId;
use super::lookup::{Attr, Lookup};
use super::preset;
use crate::signals::{Span, StatusCode, Timestamp, Value};
use crate::tables::Table;
use crate::tables::rows::{DeploymentRow, RowsFull};

/// The event name of floe's own convention.
pub const DEPLOYMENT: &str = "faas.deployment";

impl Lookup<'_, '_, '_> {
    /// Whether the span in view is a task of a pipeline that deploys, and was not skipped.
    pub fn is_deployment(&self) -> bool {
        let says =
            |attr, word: &str| self.own(attr).and_then(Value::as_str).is_some_and(|text| text.trim().eq_ignore_ascii_case(word));
        says(Attr::CicdTaskType, "deploy") && !says(Attr::CicdTaskRunResult, "skip")
    }
}

impl<'r> Pass<'_, 'r, '_> {
    pub(super) fn push_deployment(&mut self, at: Timestamp) -> Result<(), RowsFull> {
        let native = self.lookup.id(&preset::DEPLOYMENT_ID).or_else(|| self.lookup.id(&preset::RECORD_ID));
        let row = DeploymentRow {
            version: self.lookup.deployed_version(),
            status: self.word(&preset::STATUS, status),
            ..self.deployment_from_attributes(at)
        };
        self.push_deployment_row(native.as_deref(), row)
    }

    /// The span in view is a deployment that ended with it.
    pub(super) fn push_deployment_span(&mut self, span: &Span<'_>, at: Timestamp) -> Result<(), RowsFull> {
        let native = self.lookup.id(&preset::TASK_RUN_ID);
        let result = self.word(&preset::TASK_RESULT, status);
        let row = DeploymentRow {
            version: self.lookup.id(&preset::PIPELINE_VERSION),
            status: result.or_else(|| (span.status == StatusCode::Error).then_some(Cow::Borrowed("failed"))),
            ..self.deployment_from_attributes(at)
        };
        self.push_deployment_row(native.as_deref(), row)
    }

    /// The columns of a deployment that are read in the same way from spans, logs and points.
    pub(super) fn deployment_from_attributes(&mut self, at: Timestamp) -> DeploymentRow<'r> {
        DeploymentRow {
            function_id: self.lookup.function_id(None),
            previous_version: self.lookup.id(&preset::PREVIOUS_VERSION),
            deployed_at: at.micros(),
            deployed_by: self.lookup.id(&preset::DEPLOYED_BY),
            code_size_bytes: self.size(preset::CODE_SIZE),
            source_map_size_bytes: self.size(preset::SOURCE_MAP_SIZE),
            rollback_reason: self.lookup.text(&preset::ROLLBACK_REASON),
            ..DeploymentRow::default()
        }
    }

    fn push_deployment_row(&mut self, native: Option<&str>, row: DeploymentRow<'_>) -> Result<(), RowsFull> {
        let derived: DerivedId;
        let deployment_id = if let Some(native) = native {
            native
        } else {
            let fields = self.mapping.identity.of(Table::Deployments);
            let fields = fields.optional(row.function_id.as_deref()).optional(row.version.as_deref());
            derived = fields.bytes(&row.deployed_at.to_le_bytes()).finish();
            derived.as_str()
        };
        let mut row = DeploymentRow { deployment_id: Cow::Borrowed(deployment_id), ..row };
        self.fill_deployment(&mut row);
        self.rows.push_deployment(&row)
    }
}

/// The table's word for one of the conventions; the column has no others.
pub fn status(sent: &str) -> Option<&'static str> {
    const WORDS: [(&str, &[&str]); 3] = [
        ("success", &["success", "succeeded"]),
        ("failed", &["failed", "failure", "error", "timeout", "cancellation"]),
        ("rolled_back", &["rolled_back", "rolledback", "rollback"]),
    ];
    WORDS.iter().find(|(_, words)| words.iter().any(|word| is_word(sent, word))).map(|(status, _)| *status)
}
