//! The preset `functions` as data: the sources of every column in their order.
//!
//! The mapping reads its attributes from the lists here, and docs/mapping.md is written from [`columns`]: what stands there is what is read.
//! `tests::contract` compares the document, and tries every pair of neighbours.

use super::lookup::Attr;
use super::lookup::Attr::{
    AzureColdStartImpacted, CfRay, CfWorkerVersionId, CfWorkersVersionMetadataId, CicdTaskRunId, CicdTaskRunResult,
    ClientAddress, CloudRegion, CloudResourceId, CloudflareColdStartMs, CloudflareColo, CloudflareOutcome, CloudflareRayId,
    CloudflareScriptName, CloudflareScriptVersionId, CloudflareWallTime, CloudflareWallTimeMs, DeploymentCodeSize,
    DeploymentDeployedBy, DeploymentId, DeploymentPreviousVersion, DeploymentRollbackReason, DeploymentSourceMapSize,
    DeploymentStatus, ErrorMessage, ErrorType, ExceptionMessage, ExceptionStacktrace, ExceptionType, FaasColdStartCamel,
    FaasColdStartSnake, FaasColdstart, FaasExecution, FaasId, FaasInvocationId, FaasInvokedRegion, FaasMemUsage,
    FaasMemoryUsedBytes, FaasName, FaasVersion, HttpClientIp, HttpHeaderCfConnectingIp, HttpHeaderCfRay, HttpHeaderForwardedFor,
    HttpHeaderRealIp, HttpResponseHeaderCfRay, HttpResponseHeaderRateLimit, HttpResponseStatusCode, HttpStatusCode,
    KnRevisionName, KnServiceName, LogRecordUid, NetColo, NetPeerIp, NetSockPeerAddr, NetworkPeerAddress, ProcessRuntimeName,
    QueueBatchSuccess, RateLimitLimit, RateLimitType, ServiceName, ServiceVersion, TelemetrySdkLanguage, VcsRefHeadRevision,
    VercelDeploymentId, VercelDeploymentIdCamel, VercelEdgeRegion, VercelRegion, VercelRequestId, WallTimeMs,
};
use crate::tables::Table;

/// The platform's id of an invocation.
pub const INVOCATION_ID: [Attr; 2] = [FaasInvocationId, FaasExecution];
/// Ids of a request, which several invocations may share.
pub const REQUEST_ID: [Attr; 2] = [CloudflareRayId, VercelRequestId];
pub const FUNCTION: [Attr; 2] = [FaasName, CloudflareScriptName];
/// May hold an ARN, whose parts are more telling than the whole.
pub const RESOURCE_ID: [Attr; 2] = [CloudResourceId, FaasId];
pub const SERVICE: [Attr; 2] = [KnServiceName, ServiceName];
pub const SDK_LANGUAGE: [Attr; 1] = [TelemetrySdkLanguage];
pub const RUNTIME: [Attr; 1] = [ProcessRuntimeName];
pub const VERSION: [Attr; 9] = [
    FaasVersion,
    CloudflareScriptVersionId,
    CfWorkerVersionId,
    CfWorkersVersionMetadataId,
    KnRevisionName,
    ServiceVersion,
    DeploymentId,
    VercelDeploymentId,
    VercelDeploymentIdCamel,
];
/// Those that are no ids of deployments.
pub const DEPLOYED_VERSION: [Attr; 6] =
    [FaasVersion, CloudflareScriptVersionId, CfWorkerVersionId, CfWorkersVersionMetadataId, KnRevisionName, ServiceVersion];
pub const PIPELINE_VERSION: [Attr; 2] = [VcsRefHeadRevision, ServiceVersion];
pub const WALL_TIME: [Attr; 3] = [CloudflareWallTimeMs, CloudflareWallTime, WallTimeMs];
pub const COLD_START: [Attr; 3] = [FaasColdstart, FaasColdStartSnake, FaasColdStartCamel];
pub const COLD_START_MS: [Attr; 1] = [CloudflareColdStartMs];
pub const COLD_START_AZURE: [Attr; 1] = [AzureColdStartImpacted];
pub const MEMORY: [Attr; 2] = [FaasMemUsage, FaasMemoryUsedBytes];
pub const CLIENT: [Attr; 8] = [
    ClientAddress,
    HttpClientIp,
    HttpHeaderCfConnectingIp,
    HttpHeaderRealIp,
    HttpHeaderForwardedFor,
    NetworkPeerAddress,
    NetSockPeerAddr,
    NetPeerIp,
];
pub const REGION: [Attr; 1] = [CloudRegion];
pub const INVOKED_REGION: [Attr; 1] = [FaasInvokedRegion];
pub const VERCEL_REGION: [Attr; 1] = [VercelRegion];
pub const COLO: [Attr; 2] = [CloudflareColo, NetColo];
/// End in the data centre that took the request.
pub const RAY: [Attr; 5] = [HttpHeaderCfRay, HttpResponseHeaderCfRay, CfRay, CloudflareRayId, FaasInvocationId];
pub const EDGE_REGION: [Attr; 1] = [VercelEdgeRegion];
pub const HTTP_STATUS: [Attr; 2] = [HttpResponseStatusCode, HttpStatusCode];
pub const ERROR_TYPE: [Attr; 1] = [ErrorType];
pub const ERROR_MESSAGE: [Attr; 1] = [ErrorMessage];
pub const EXCEPTION_TYPE: [Attr; 1] = [ExceptionType];
pub const EXCEPTION_MESSAGE: [Attr; 1] = [ExceptionMessage];
pub const EXCEPTION_STACK: [Attr; 1] = [ExceptionStacktrace];
pub const RECORD_ID: [Attr; 1] = [LogRecordUid];
pub const DEPLOYMENT_ID: [Attr; 1] = [DeploymentId];
pub const TASK_RUN_ID: [Attr; 1] = [CicdTaskRunId];
pub const TASK_RESULT: [Attr; 1] = [CicdTaskRunResult];
pub const PREVIOUS_VERSION: [Attr; 1] = [DeploymentPreviousVersion];
pub const DEPLOYED_BY: [Attr; 1] = [DeploymentDeployedBy];
pub const CODE_SIZE: Attr = DeploymentCodeSize;
pub const SOURCE_MAP_SIZE: Attr = DeploymentSourceMapSize;
pub const STATUS: [Attr; 1] = [DeploymentStatus];
pub const ROLLBACK_REASON: [Attr; 1] = [DeploymentRollbackReason];
pub const LIMIT_TYPE: [Attr; 1] = [RateLimitType];
pub const LIMIT: Attr = RateLimitLimit;
pub const LIMIT_HEADER: Attr = HttpResponseHeaderRateLimit;
pub const OUTCOME: [Attr; 1] = [CloudflareOutcome];
pub const BATCH_SUCCESS: Attr = QueueBatchSuccess;

/// One step in the order of a column's sources.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// Attributes, each as the column's type reads it.
    Of(&'static [Attr]),
    /// Attributes of which only a part counts, and which part.
    Part(&'static [Attr], &'static str),
    /// What is no attribute.
    Said(&'static str),
}

/// What fills one column.
#[derive(Clone, Copy, Debug)]
pub struct ColumnSources {
    pub column: &'static str,
    pub sources: &'static [Source],
    /// What else holds; empty for nothing.
    pub remark: &'static str,
}

const fn column(column: &'static str, sources: &'static [Source], remark: &'static str) -> ColumnSources {
    ColumnSources { column, sources, remark }
}

use Source::{Of, Part, Said};

const ARN_NAME: Source = Part(&RESOURCE_ID, "of an ARN the function's name");
const ARN_REGION: Source = Part(&RESOURCE_ID, "an ARN's region");
const FUNCTION_ID: &[Source] = &[Of(&FUNCTION), ARN_NAME, Of(&SERVICE), Said("name of the invocation's span")];
const LANGUAGE: &[Source] = &[Of(&SDK_LANGUAGE), Of(&RUNTIME)];
const LANGUAGE_REMARK: &str = "`nodejs`, `js`, `webjs`, `edge`, `deno` are `javascript`; for `deno-rust` the runtime counts";
const VERSION_REMARK: &str = "on Azure Functions `faas.version` only";
const CLIENT_REMARK: &str = "the first that is an address; X-Forwarded-For from the right, after `trusted_hops` entries";
const REGION_SOURCES: &[Source] = &[Of(&REGION), Of(&INVOKED_REGION), ARN_REGION, Of(&VERCEL_REGION)];
const REGION_REMARK: &str = "`earth` is none";
const COLO_SOURCES: &[Source] = &[Of(&COLO), Part(&RAY, "the three letters that end a Cloudflare ray id"), Of(&EDGE_REGION)];
const DATE: ColumnSources = column("date", &[Said("the event time in UTC")], "partition");

const INVOCATIONS: &[ColumnSources] = &[
    column(
        "invocation_id",
        &[Of(&INVOCATION_ID), Of(&REQUEST_ID), Said("derived")],
        "a report's request id comes before a derived one",
    ),
    column("function_id", FUNCTION_ID, ""),
    column("language", LANGUAGE, LANGUAGE_REMARK),
    column("version", &[Of(&VERSION)], VERSION_REMARK),
    column(
        "started_at",
        &[Said("start"), Said("end less the duration"), Said("time of receipt, counted")],
        "`faas.time` is the schedule",
    ),
    column(
        "duration_ms",
        &[Said("end − start"), Of(&WALL_TIME), Said("the report's `Duration`")],
        "an end before its start is counted and passed over; never negative",
    ),
    column(
        "success",
        &[Said(
            "false if the status is ERROR, `cloudflare.outcome` is not `ok`, there is an `error.type`, the HTTP status is 500 or above, \
             `queue.batch_success` is false, or an exception escaped; else true",
        )],
        "a server's 4xx is a success, also where `error.type` only repeats it",
    ),
    column(
        "error_type",
        &[Of(&ERROR_TYPE), Said("last `exception.type`"), Of(&OUTCOME), Part(&HTTP_STATUS, "from 400 on"), Said("`_OTHER`")],
        "NULL on success",
    ),
    column(
        "error_message",
        &[Said("last `exception.message`"), Said("status message"), Of(&ERROR_MESSAGE)],
        "NULL on success; keeps its spaces",
    ),
    column(
        "cold_start",
        &[
            Of(&COLD_START),
            Part(&COLD_START_MS, "above 0"),
            Of(&COLD_START_AZURE),
            Said("true where a report has an `Init Duration`"),
        ],
        "NULL where nobody says",
    ),
    column(
        "memory_used_bytes",
        &[Of(&MEMORY), Said("the report's `Max Memory Used` × 1 048 576")],
        "`faas.max_memory` is the limit",
    ),
    column("client_ip", &[Of(&CLIENT)], CLIENT_REMARK),
    column("region", REGION_SOURCES, REGION_REMARK),
    column("colo", COLO_SOURCES, ""),
    DATE,
    column("hour", &[Said("the event time in UTC")], "partition"),
];

const RATE_LIMITS: &[ColumnSources] = &[
    column("event_id", &[Of(&RECORD_ID), Said("derived")], "of an answer of 429 always derived"),
    column("function_id", FUNCTION_ID, ""),
    column("client_ip", &[Of(&CLIENT)], CLIENT_REMARK),
    column(
        "occurred_at",
        &[Said("log time"), Said("observed time"), Said("time of receipt, counted")],
        "of an answer of 429 the invocation's start",
    ),
    column(
        "limit_type",
        &[Of(&LIMIT_TYPE)],
        "`per_ip`, `per_function` or `global`; another word is NULL and counted; NULL of an answer of 429",
    ),
    column(
        "limit_value",
        &[Of(&[LIMIT])],
        "of an answer of 429 only the number before `,` or `;` in `http.response.header.x-ratelimit-limit`; 0 to 2 147 483 647, else NULL and counted",
    ),
    column("region", REGION_SOURCES, REGION_REMARK),
    column("colo", COLO_SOURCES, ""),
    DATE,
];

const DEPLOYMENTS: &[ColumnSources] = &[
    column(
        "deployment_id",
        &[Of(&DEPLOYMENT_ID), Of(&RECORD_ID), Said("derived")],
        "of a pipeline's task `cicd.pipeline.task.run.id`, then derived",
    ),
    column("function_id", FUNCTION_ID, "without the span's name"),
    column("version", &[Of(&DEPLOYED_VERSION)], "of a pipeline's task `vcs.ref.head.revision`, then `service.version`"),
    column("previous_version", &[Of(&PREVIOUS_VERSION)], ""),
    column(
        "deployed_at",
        &[Said("log time"), Said("observed time"), Said("time of receipt, counted")],
        "of a pipeline's task the span's end",
    ),
    column("deployed_by", &[Of(&DEPLOYED_BY)], ""),
    column("code_size_bytes", &[Of(&[CODE_SIZE])], "0 or more, else NULL and counted"),
    column("source_map_size_bytes", &[Of(&[SOURCE_MAP_SIZE])], "0 or more, else NULL and counted"),
    column(
        "status",
        &[Of(&STATUS)],
        "of a pipeline's task `cicd.pipeline.task.run.result`, then `failed` where its status is ERROR; `succeeded` is `success`, `failure`, `error`, \
         `timeout`, `cancellation` are `failed`, `rollback` is `rolled_back`; another word is NULL and counted",
    ),
    column("rollback_reason", &[Of(&ROLLBACK_REASON)], "keeps its spaces"),
    DATE,
];

const ERRORS: &[ColumnSources] = &[
    column(
        "error_id",
        &[Said("derived from the span, where there is one"), Of(&RECORD_ID), Said("derived from the record")],
        "equal for span event and log of one exception",
    ),
    column(
        "invocation_id",
        &[
            Of(&INVOCATION_ID),
            Said("the row of its span, or of the nearest ancestor in the request"),
            Of(&REQUEST_ID),
            Said("for a log in a span the id derived from that span"),
        ],
        "else NULL",
    ),
    column("function_id", FUNCTION_ID, "the span's name only where the error stands in an invocation"),
    column(
        "occurred_at",
        &[Said("event time or log time"), Said("observed time"), Said("span end"), Said("time of receipt, counted")],
        "",
    ),
    column(
        "error_type",
        &[
            Of(&EXCEPTION_TYPE),
            Of(&ERROR_TYPE),
            Said("the body's `error.name` or `errorType`"),
            Said("its first line `XyzError:`"),
            Said("name of the severity"),
        ],
        "",
    ),
    column(
        "error_message",
        &[
            Of(&EXCEPTION_MESSAGE),
            Said("the body, or its `message`, `msg`, `errorMessage`"),
            Said("status message"),
            Of(&ERROR_MESSAGE),
        ],
        "keeps its spaces",
    ),
    column(
        "stack_trace",
        &[Of(&EXCEPTION_STACK), Said("the body's `stack` or `stackTrace`"), Said("the whole body where it looks like a stack")],
        "text or a list of lines",
    ),
    column("language", LANGUAGE, LANGUAGE_REMARK),
    column("version", &[Of(&VERSION)], VERSION_REMARK),
    DATE,
];

/// The sources of every column of a table, in the order of its columns.
pub fn columns(table: Table) -> &'static [ColumnSources] {
    match table {
        Table::Invocations => INVOCATIONS,
        Table::RateLimits => RATE_LIMITS,
        Table::Deployments => DEPLOYMENTS,
        Table::Errors => ERRORS,
    }
}
