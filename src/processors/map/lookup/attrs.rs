//! The attributes that the preset reads, and sets of them.

macro_rules! attributes {
    ($($slot:ident = $name:literal,)*) => {
        /// An attribute that the preset reads.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Attr { $($slot),* }

        impl Attr {
            pub const ALL: &'static [Attr] = &[$(Attr::$slot),*];

            /// The key as it stands in telemetry.
            pub fn name(self) -> &'static str {
                match self { $(Attr::$slot => $name),* }
            }
        }
    };
}

attributes! {
    AzureColdStartImpacted = "azure.functions.coldstart_impacted",
    CfRay = "cf-ray",
    CfWorkerVersionId = "cf.worker.version.id",
    CfWorkersVersionMetadataId = "cf.workers_version_metadata.id",
    CicdTaskRunId = "cicd.pipeline.task.run.id",
    CicdTaskRunResult = "cicd.pipeline.task.run.result",
    CicdTaskType = "cicd.pipeline.task.type",
    ClientAddress = "client.address",
    CloudPlatform = "cloud.platform",
    CloudProvider = "cloud.provider",
    CloudRegion = "cloud.region",
    CloudResourceId = "cloud.resource_id",
    CloudflareColdStartMs = "cloudflare.cold_start_ms",
    CloudflareColo = "cloudflare.colo",
    CloudflareHandlerType = "cloudflare.handler_type",
    CloudflareSequenceNumber = "cloudflare.invocation.sequence.number",
    CloudflareOutcome = "cloudflare.outcome",
    CloudflareRayId = "cloudflare.ray_id",
    CloudflareScriptName = "cloudflare.script_name",
    CloudflareScriptVersionId = "cloudflare.script_version.id",
    CloudflareWallTime = "cloudflare.wall_time",
    CloudflareWallTimeMs = "cloudflare.wall_time_ms",
    DeploymentCodeSize = "deployment.code_size_bytes",
    DeploymentDeployedBy = "deployment.deployed_by",
    DeploymentId = "deployment.id",
    DeploymentPreviousVersion = "deployment.previous_version",
    DeploymentRollbackReason = "deployment.rollback_reason",
    DeploymentSourceMapSize = "deployment.source_map_size_bytes",
    DeploymentStatus = "deployment.status",
    ErrorMessage = "error.message",
    ErrorType = "error.type",
    EventName = "event.name",
    ExceptionEscaped = "exception.escaped",
    ExceptionMessage = "exception.message",
    ExceptionStacktrace = "exception.stacktrace",
    ExceptionType = "exception.type",
    FaasColdStartCamel = "faas.coldStart",
    FaasColdStartSnake = "faas.cold_start",
    FaasColdstart = "faas.coldstart",
    FaasExecution = "faas.execution",
    FaasId = "faas.id",
    FaasInstance = "faas.instance",
    FaasInvocationId = "faas.invocation_id",
    FaasInvokedName = "faas.invoked_name",
    FaasInvokedRegion = "faas.invoked_region",
    FaasMemUsage = "faas.mem_usage",
    FaasMemoryUsedBytes = "faas.memory_used_bytes",
    FaasName = "faas.name",
    FaasTrigger = "faas.trigger",
    FaasVersion = "faas.version",
    HttpClientIp = "http.client_ip",
    HttpHeaderCfConnectingIp = "http.request.header.cf-connecting-ip",
    HttpHeaderCfRay = "http.request.header.cf-ray",
    HttpHeaderForwardedFor = "http.request.header.x-forwarded-for",
    HttpHeaderRealIp = "http.request.header.x-real-ip",
    HttpResponseHeaderCfRay = "http.response.header.cf-ray",
    HttpResponseHeaderRateLimit = "http.response.header.x-ratelimit-limit",
    HttpResponseStatusCode = "http.response.status_code",
    HttpStatusCode = "http.status_code",
    KnRevisionName = "kn.revision.name",
    KnServiceName = "kn.service.name",
    LogRecordUid = "log.record.uid",
    NetColo = "net.colo",
    NetPeerIp = "net.peer.ip",
    NetSockPeerAddr = "net.sock.peer.addr",
    NetworkPeerAddress = "network.peer.address",
    ProcessRuntimeName = "process.runtime.name",
    QueueBatchSuccess = "queue.batch_success",
    RateLimitLimit = "rate_limit.limit",
    RateLimitType = "rate_limit.type",
    ServiceInstanceId = "service.instance.id",
    ServiceName = "service.name",
    ServiceVersion = "service.version",
    TelemetrySdkLanguage = "telemetry.sdk.language",
    Type = "type",
    VcsRefHeadRevision = "vcs.ref.head.revision",
    VercelDeploymentIdCamel = "vercel.deploymentId",
    VercelDeploymentId = "vercel.deployment_id",
    VercelEdgeRegion = "vercel.edge_region",
    VercelRegion = "vercel.region",
    VercelRequestId = "vercel.request_id",
    WallTimeMs = "wall_time_ms",
}

/// A bit for each of some attributes of the preset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attrs([u64; 2]);

const _: () = assert!(Attr::ALL.len() <= 128, "every attribute has a bit");

impl Attrs {
    pub const fn of(lists: &[&[Attr]]) -> Attrs {
        let mut bits = [0; 2];
        let mut list = 0;
        while list < lists.len() {
            let mut at = 0;
            while at < lists[list].len() {
                let slot = lists[list][at] as usize;
                bits[slot / 64] |= 1 << (slot % 64);
                at += 1;
            }
            list += 1;
        }
        Attrs(bits)
    }

    #[inline]
    pub(super) fn has(self, attr: Attr) -> bool {
        self.0[attr as usize / 64] >> (attr as usize % 64) & 1 == 1
    }

    #[inline]
    pub(super) fn has_any_of(self, Attrs([low, high]): Attrs) -> bool {
        self.0[0] & low != 0 || self.0[1] & high != 0
    }

    #[inline]
    pub(super) fn or(self, Attrs([low, high]): Attrs) -> Attrs {
        Attrs([self.0[0] | low, self.0[1] | high])
    }

    /// A slot past those of the preset has no bit.
    #[inline]
    pub(super) fn set(&mut self, slot: usize, present: bool) {
        if let Some(word) = self.0.get_mut(slot / 64) {
            let bit = 1 << (slot % 64);
            *word = if present { *word | bit } else { *word & !bit };
        }
    }
}
