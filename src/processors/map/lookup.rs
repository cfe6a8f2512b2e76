//! Reading attributes of one record by name, in the order record, scope, resource.
//!
//! The attributes that the preset reads are known when floe is built: each has a fixed slot. A record's attributes are gone
//! through once and written into a table by slot; after that every look-up is an array access. The tables are stamped with an
//! epoch instead of being cleared, and those of scope and resource are kept while records share them.
//!
//! What counts as absent: no value, `""`, `null`, `unknown_service*`, and a key that stands twice in one owner with different
//! values (the Azure host sends up to 15 copies of `faas.invocation_id`); the look-up then goes on to the next owner.

use std::borrow::Cow;

use crate::signals::attributes::{Attributes, Keys};
use crate::signals::{Attribute, KeyId, Records, Slice, Value};

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

/// How keys begin that only runs of CI/CD pipelines have.
const PIPELINE: &str = "cicd.";

/// From the key ids of a chain to slots, those of the preset first; made once, when the chain is built.
#[derive(Debug)]
pub struct SlotsOfKeys {
    by_key: Vec<Reading>,
    count: usize,
}

/// What is read of a key.
#[derive(Clone, Copy, Debug)]
struct Reading {
    slot: u32,
    /// The key begins with [`PIPELINE`].
    of_a_pipeline: bool,
}

/// The slot of an attribute, of the preset or of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

/// A key whose value nothing reads.
const NO_SLOT: u32 = u32::MAX;

impl SlotsOfKeys {
    /// Interns every attribute of the preset, so that it is decoded.
    pub fn intern(keys: &mut Keys) -> SlotsOfKeys {
        let ids: Vec<KeyId> = Attr::ALL.iter().map(|attr| keys.intern(attr.name())).collect();
        keys.intern_family(PIPELINE);
        let mut slots = SlotsOfKeys { by_key: Vec::new(), count: Attr::ALL.len() };
        slots.grow(keys);
        for (attr, id) in Attr::ALL.iter().zip(ids) {
            slots.by_key[id.0 as usize].slot = *attr as u32;
        }
        slots
    }

    /// The slot of one more key; the preset's own is taken where it reads the key too.
    pub fn intern_also(&mut self, name: &str, keys: &mut Keys) -> Slot {
        let key = keys.intern(name).0 as usize;
        self.grow(keys);
        let reading = &mut self.by_key[key];
        if reading.slot == NO_SLOT {
            reading.slot = u32::try_from(self.count).unwrap_or(NO_SLOT);
            self.count += 1;
        }
        Slot(reading.slot)
    }

    /// One reading for every key that is known.
    fn grow(&mut self, keys: &Keys) {
        let new = keys.names().skip(self.by_key.len());
        self.by_key.extend(new.map(|(_, name)| Reading { slot: NO_SLOT, of_a_pipeline: name.starts_with(PIPELINE) }));
    }

    fn of(&self, key: KeyId, attributes: &Attributes<'_>) -> Reading {
        match self.by_key.get(key.0 as usize) {
            Some(reading) => *reading,
            // A key of this request only, where all are kept.
            None => Reading { slot: NO_SLOT, of_a_pipeline: attributes.name(key).starts_with(PIPELINE) },
        }
    }
}

impl Slot {
    pub fn is(self, attr: Attr) -> bool {
        self.0 == attr as u32
    }
}

/// The attributes of one owner by slot.
#[derive(Debug)]
struct Owner<'r, 'a> {
    list: &'r [Attribute<'a>],
    /// Epoch and place in `list`; of another epoch is absent.
    places: Vec<(u32, u32)>,
    epoch: u32,
    /// It has a key that begins with [`PIPELINE`].
    runs_a_pipeline: bool,
}

/// The place of a key that stands twice with different values.
const REPEATED: u32 = u32::MAX;

impl<'r, 'a> Owner<'r, 'a> {
    fn new(slots: &SlotsOfKeys) -> Owner<'r, 'a> {
        Owner { list: &[], places: vec![(0, 0); slots.count], epoch: 0, runs_a_pipeline: false }
    }

    /// Returns how many keys stood twice with different values.
    fn fill(&mut self, slots: &SlotsOfKeys, attributes: &'r Attributes<'a>, run: Slice) -> u64 {
        let list = attributes.of(run);
        self.list = list;
        self.epoch += 1;
        self.runs_a_pipeline = false;
        let mut repeated = 0;
        for (place, attribute) in list.iter().enumerate() {
            let Reading { slot, of_a_pipeline } = slots.of(attribute.key, attributes);
            if (slot == NO_SLOT && !of_a_pipeline) || is_absent(&attribute.value) {
                continue;
            }
            self.runs_a_pipeline |= of_a_pipeline;
            let slot = slot as usize;
            if slot >= self.places.len() {
                continue;
            }
            let (epoch, first) = self.places[slot];
            if epoch != self.epoch {
                self.places[slot] = (self.epoch, u32::try_from(place).unwrap_or(REPEATED));
            } else if first != REPEATED && !is_same(&list[first as usize].value, &attribute.value, attributes) {
                self.places[slot].1 = REPEATED;
                repeated += 1;
            }
        }
        repeated
    }

    fn get(&self, attr: Attr) -> Option<&'r Value<'a>> {
        self.at(Slot(attr as u32))
    }

    fn at(&self, slot: Slot) -> Option<&'r Value<'a>> {
        let (epoch, place) = *self.places.get(slot.0 as usize)?;
        if epoch != self.epoch {
            return None;
        }
        self.list.get(place as usize).map(|attribute| &attribute.value)
    }
}

/// Whether a value counts as no value.
fn is_absent(value: &Value<'_>) -> bool {
    match value {
        Value::Empty => true,
        Value::Str(text) => {
            let text = text.trim();
            matches!(text, "" | "null") || text.starts_with("unknown_service")
        }
        _ => false,
    }
}

/// Whether two values say the same. Arrays and maps that are equal lie in different places.
fn is_same(one: &Value<'_>, other: &Value<'_>, attributes: &Attributes<'_>) -> bool {
    match (one, other) {
        (Value::Array(_), Value::Array(_)) | (Value::Map(_), Value::Map(_)) => {
            one.as_str_text(attributes) == other.as_str_text(attributes)
        }
        _ => one == other,
    }
}

/// The attributes in view: of one event, its record, the record's scope and resource.
#[derive(Debug)]
pub struct Lookup<'m, 'r, 'a> {
    records: &'r Records<'a>,
    slots: &'m SlotsOfKeys,
    scope_index: Option<u32>,
    resource_index: Option<u32>,
    event: Owner<'r, 'a>,
    record: Owner<'r, 'a>,
    scope: Owner<'r, 'a>,
    resource: Owner<'r, 'a>,
    repeated: u64,
}

impl<'m, 'r, 'a> Lookup<'m, 'r, 'a> {
    pub fn new(records: &'r Records<'a>, slots: &'m SlotsOfKeys) -> Lookup<'m, 'r, 'a> {
        Lookup {
            records,
            slots,
            scope_index: None,
            resource_index: None,
            event: Owner::new(slots),
            record: Owner::new(slots),
            scope: Owner::new(slots),
            resource: Owner::new(slots),
            repeated: 0,
        }
    }

    /// Brings a record into view.
    pub fn view(&mut self, scope: u32, attributes: Slice) {
        if self.scope_index != Some(scope) {
            self.view_scope(scope);
        }
        self.repeated += self.record.fill(self.slots, &self.records.attributes, attributes);
    }

    fn view_scope(&mut self, index: u32) {
        self.scope_index = Some(index);
        let scope = self.records.scopes.get(index as usize);
        let attributes = scope.map(|scope| scope.attributes).unwrap_or_default();
        self.repeated += self.scope.fill(self.slots, &self.records.attributes, attributes);
        let resource = scope.map(|scope| scope.resource);
        if self.resource_index != resource {
            self.resource_index = resource;
            let resource = resource.and_then(|index| self.records.resources.get(index as usize));
            let attributes = resource.map(|resource| resource.attributes).unwrap_or_default();
            self.repeated += self.resource.fill(self.slots, &self.records.attributes, attributes);
        }
    }

    /// Brings an event of the span in view into view.
    pub fn view_event(&mut self, attributes: Slice) {
        self.repeated += self.event.fill(self.slots, &self.records.attributes, attributes);
    }

    /// How many keys stood twice with different values.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    pub fn attributes(&self) -> &'r Attributes<'a> {
        &self.records.attributes
    }

    /// The value on the record, else on its scope, else on its resource.
    pub fn get(&self, attr: Attr) -> Option<&'r Value<'a>> {
        self.record.get(attr).or_else(|| self.scope.get(attr)).or_else(|| self.resource.get(attr))
    }

    /// What is read of the value on the record, else of that on its scope, else of that on its resource.
    pub fn read<T>(&self, attr: Attr, mut read: impl FnMut(&'r Value<'a>) -> Option<T>) -> Option<T> {
        [&self.record, &self.scope, &self.resource].into_iter().find_map(|owner| read(owner.get(attr)?))
    }

    /// Whether record, scope or resource has a key that only runs of CI/CD pipelines have.
    pub fn runs_a_pipeline(&self) -> bool {
        self.record.runs_a_pipeline || self.scope.runs_a_pipeline || self.resource.runs_a_pipeline
    }

    /// The value on the event in view if it is asked for, else on the record, else on its scope, else on its resource.
    pub fn at(&self, slot: Slot, in_event: bool) -> Option<&'r Value<'a>> {
        let event = if in_event { self.event.at(slot) } else { None };
        event.or_else(|| self.record.at(slot)).or_else(|| self.scope.at(slot)).or_else(|| self.resource.at(slot))
    }

    /// The value on the record itself.
    pub fn own(&self, attr: Attr) -> Option<&'r Value<'a>> {
        self.record.get(attr)
    }

    /// The value on the record's resource.
    pub fn on_resource(&self, attr: Attr) -> Option<&'r Value<'a>> {
        self.resource.get(attr)
    }

    pub fn has(&self, attr: Attr) -> bool {
        self.get(attr).is_some()
    }

    /// The first value of a list of sources, as text; messages keep their spaces.
    pub fn text(&self, sources: &[Attr]) -> Option<Cow<'r, str>> {
        sources.iter().find_map(|attr| self.get(*attr).and_then(|value| value.as_str_text(self.attributes())))
    }

    /// The first value of a list of sources, as trimmed text that is not empty.
    pub fn id(&self, sources: &[Attr]) -> Option<Cow<'r, str>> {
        sources.iter().find_map(|attr| self.read(*attr, |value| self.id_in(value)))
    }

    /// The value as trimmed text that is not empty.
    pub fn id_in(&self, value: &'r Value<'a>) -> Option<Cow<'r, str>> {
        trimmed(value.as_str_text(self.attributes())?)
    }

    /// The text of a header, which may be a list: its first element.
    pub fn first_text_in(&self, value: &'r Value<'a>) -> Option<Cow<'r, str>> {
        value.strings(self.attributes()).next().and_then(trimmed)
    }

    /// The text of a value on the event in view.
    pub fn event_text(&self, attr: Attr) -> Option<Cow<'r, str>> {
        self.event.get(attr).and_then(|value| value.as_str_text(self.attributes()))
    }

    pub fn event_flag(&self, attr: Attr) -> Option<bool> {
        self.event.get(attr).and_then(Value::as_bool)
    }

    pub fn int(&self, attr: Attr) -> Option<i64> {
        self.read(attr, Value::as_i64)
    }

    pub fn number(&self, attr: Attr) -> Option<f64> {
        self.read(attr, Value::as_f64)
    }

    pub fn flag(&self, attr: Attr) -> Option<bool> {
        self.read(attr, Value::as_bool)
    }

    /// Whether a value reads as exactly this text.
    pub fn is(&self, attr: Attr, expected: &str) -> bool {
        matches!(self.get(attr), Some(Value::Str(text)) if text.trim() == expected)
    }
}

/// The value of a key on the first owner that has it, by the same rules; for keys that are not the preset's.
pub fn find<'r, 'a>(attributes: &'r Attributes<'a>, owners: &[Slice], key: KeyId) -> Option<&'r Value<'a>> {
    owners.iter().find_map(|owner| {
        let mut values = attributes.of(*owner).iter().filter(|attribute| attribute.key == key && !is_absent(&attribute.value));
        let first = &values.next()?.value;
        values.all(|other| is_same(first, &other.value, attributes)).then_some(first)
    })
}

/// The text without the spaces around it; `None` where nothing is left.
pub fn trimmed(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let inner = text.trim();
    if inner.is_empty() {
        return None;
    }
    if inner.len() == text.len() {
        return Some(text);
    }
    Some(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    })
}
