//! Which spans are invocations, as far as a span tells by itself.
//!
//! A span is an invocation by one of these rules, unless something excludes it (docs/mapping.md has the reasons):
//!
//! | rule | kind | and |
//! |---|---|---|
//! | A | SERVER, CONSUMER | `faas.invocation_id` or `faas.execution` |
//! | B | any | `cloudflare.handler_type`, and it is the root of its invocation |
//! | C | SERVER | `faas.trigger`, a cold start, `faas.name`, or the platform of a functions service |
//! | D | CONSUMER, INTERNAL, unset | `faas.trigger` and a cold start |
//! | plain | SERVER | only where `invocations.http_servers` says so |
//!
//! Each native id makes one row a request, that of its outermost span; below an invocation nothing is one by C, D or plain.

use std::borrow::Cow;

use super::InvocationsConfig;
use super::lookup::{Attr, Lookup};
use super::preset;
use crate::signals::{Span, SpanKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A: it has the platform's id.
    Native,
    /// B: a handler of Cloudflare Workers.
    Handler,
    /// C: a server on a functions platform.
    Server,
    /// D: triggered, by an emitter that does not send SERVER.
    Triggered,
    /// A plain HTTP server.
    Plain,
}

/// The platform's id of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeId<'r> {
    pub id: Cow<'r, str>,
    /// It is the invocation's own; a request's id (a ray) may be shared by several invocations.
    pub own: bool,
}

/// The kinds of rule A.
pub const NATIVE_KINDS: [SpanKind; 2] = [SpanKind::Server, SpanKind::Consumer];
/// The kinds of rule D.
pub const TRIGGERED_KINDS: [SpanKind; 3] = [SpanKind::Consumer, SpanKind::Internal, SpanKind::Unspecified];

/// Platforms whose SERVER spans are invocations. Cloud Run and Workers run other things too.
pub const PLATFORMS: [&str; 6] =
    ["aws_lambda", "azure_functions", "azure.functions", "gcp_cloud_functions", "alibaba_cloud_fc", "tencent_cloud_scf"];

impl<'r> Lookup<'_, 'r, '_> {
    pub fn native_id(&self) -> Option<NativeId<'r>> {
        if let Some(id) = self.id(&preset::INVOCATION_ID) {
            return Some(NativeId { id, own: true });
        }
        self.id(&preset::REQUEST_ID).map(|id| NativeId { id, own: false })
    }

    /// The rule by which the span in view may be an invocation, as far as it alone tells.
    pub fn invocation_rule(&self, span: &Span<'_>, native: Option<&NativeId<'_>>, config: InvocationsConfig) -> Option<Rule> {
        let has_own_id = native.is_some_and(|native| native.own);
        let rule = self.rule(span.kind, has_own_id, config)?;
        (!self.excluded(span, has_own_id)).then_some(rule)
    }

    fn rule(&self, kind: SpanKind, has_own_id: bool, config: InvocationsConfig) -> Option<Rule> {
        // B before A: a handler that is not the root of its invocation is none, whatever id it repeats.
        if self.has(Attr::CloudflareHandlerType) {
            return Some(Rule::Handler);
        }
        if has_own_id && NATIVE_KINDS.contains(&kind) {
            return Some(Rule::Native);
        }
        if kind == SpanKind::Server {
            return if self.runs_functions() { Some(Rule::Server) } else { config.http_servers.then_some(Rule::Plain) };
        }
        let is_triggered = TRIGGERED_KINDS.contains(&kind) && self.has(Attr::FaasTrigger) && self.cold_start().is_some();
        is_triggered.then_some(Rule::Triggered)
    }

    fn runs_functions(&self) -> bool {
        self.has(Attr::FaasTrigger)
            || self.on_resource(Attr::FaasName).is_some()
            || self.id(&[Attr::CloudPlatform]).is_some_and(|platform| PLATFORMS.contains(&platform.as_ref()))
            || self.cold_start().is_some()
    }

    fn excluded(&self, span: &Span<'_>, has_own_id: bool) -> bool {
        let inner = self.int(Attr::CloudflareSequenceNumber).is_some_and(|number| number != 1);
        let calls_a_function = span.kind == SpanKind::Client && self.has(Attr::FaasInvokedName);
        let starts_an_instance = span.name.starts_with("init ");
        // Lambda's span for one message of a batch, below the span of the invocation.
        let takes_a_message =
            span.kind == SpanKind::Consumer && self.has(Attr::FaasTrigger) && !has_own_id && self.cold_start().is_none();
        inner || calls_a_function || starts_an_instance || takes_a_message || self.runs_a_pipeline()
    }

    /// Whether it started an instance; `None` where nothing says so.
    pub fn cold_start(&self) -> Option<bool> {
        let flag = |attrs: &[Attr]| attrs.iter().find_map(|attr| self.flag(*attr));
        let millis = || preset::COLD_START_MS.into_iter().find_map(|attr| self.number(attr));
        flag(&preset::COLD_START).or_else(|| millis().map(|millis| millis > 0.0)).or_else(|| flag(&preset::COLD_START_AZURE))
    }

    pub fn http_status(&self) -> Option<i64> {
        preset::HTTP_STATUS.into_iter().find_map(|attr| self.int(attr))
    }
}
