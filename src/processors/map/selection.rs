//! Which spans of a request are invocations, seen together.
//!
//! A candidate by rule B is none below a span with its own id; one by B without an id of its own, by C, D or plain is none below any
//! invocation; and each id makes one row a request, that of its outermost span.

use std::borrow::Cow;
use std::collections::HashSet;

use super::request_index::RequestIndex;
use super::rules::{NativeId, Rule};
use crate::signals::{Span, SpanId, TraceId};

/// What the first pass over the spans finds out.
#[derive(Clone, Debug, Default)]
pub struct Facts<'r> {
    pub rejected: bool,
    pub rule: Option<Rule>,
    pub native: Option<NativeId<'r>>,
    /// The id by sources that the configuration sets.
    pub sourced_id: Option<Cow<'r, str>>,
    pub has_exception: bool,
    pub is_deployment: bool,
}

impl<'r> Facts<'r> {
    /// The id that the platform gave to the invocation itself.
    pub fn own_id(&self) -> Option<&Cow<'r, str>> {
        self.native.as_ref().filter(|native| native.own).map(|native| &native.id)
    }
}

/// Which spans of a request are invocations, and to which of them each span belongs.
#[derive(Debug)]
pub struct Selection {
    /// The span itself or its nearest ancestor that is an invocation.
    nearest: Vec<Option<u32>>,
    /// Whether a candidate lost to another with its id.
    has_duplicates: bool,
}

#[derive(PartialEq, Eq, Hash)]
enum RowId<'f> {
    Native(&'f str),
    Derived(TraceId, SpanId),
}

impl<'f> RowId<'f> {
    fn of(span: &Span<'_>, facts: &'f Facts<'_>) -> RowId<'f> {
        match &facts.native {
            Some(native) => RowId::Native(&native.id),
            None => RowId::Derived(span.trace_id, span.span_id),
        }
    }

    /// Equal ids have equal prints.
    fn print(&self) -> u64 {
        let (head, tail, len) = match self {
            RowId::Native(id) => (id.as_bytes().first_chunk().copied(), id.as_bytes().last_chunk().copied(), id.len()),
            RowId::Derived(trace, span) => (trace.0.first_chunk().copied(), Some(span.0), 0),
        };
        let [head, tail] = [head, tail].map(|end| end.map_or(0, u64::from_le_bytes));
        (head ^ len as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ tail
    }
}

/// Whether two candidates of a request may have one id. Almost always none have, and sorted prints tell so at a fraction of what a set costs that
/// no sender can make slow; where two are equal the set decides.
fn may_repeat(spans: &[Span<'_>], facts: &[Facts<'_>]) -> bool {
    let candidates = spans.iter().zip(facts).filter(|(_, facts)| facts.rule.is_some());
    let mut prints: Vec<u64> = candidates.map(|(span, facts)| RowId::of(span, facts).print()).collect();
    prints.sort_unstable();
    prints.windows(2).any(|pair| pair[0] == pair[1])
}

impl Selection {
    /// Builds the index of the request only if a row depends on it.
    pub fn of(spans: &[Span<'_>], facts: &[Facts<'_>]) -> Selection {
        let depends = |(span, facts): (&Span<'_>, &Facts<'_>)| {
            let by_ancestors = match facts.rule {
                Some(rule) => rule != Rule::Native,
                None => facts.has_exception && facts.own_id().is_none(),
            };
            by_ancestors && span.parent_span_id.is_some()
        };
        if spans.len() > 1 && spans.iter().zip(facts).any(depends) {
            return Selection::within(spans, facts, &RequestIndex::build(spans));
        }
        let selection = Selection::within(spans, facts, &RequestIndex::flat(spans));
        if selection.has_duplicates {
            // The outermost must win, not the first.
            return Selection::within(spans, facts, &RequestIndex::build(spans));
        }
        selection
    }

    fn within(spans: &[Span<'_>], facts: &[Facts<'_>], index: &RequestIndex) -> Selection {
        let mut nearest: Vec<Option<u32>> = vec![None; spans.len()];
        let mut carriers: Vec<Option<u32>> = vec![None; if index.is_flat() { 0 } else { spans.len() }];
        let may_repeat = may_repeat(spans, facts);
        let mut seen = HashSet::new();
        let mut has_duplicates = false;
        for at in index.parents_first() {
            let (span, fact) = (&spans[at as usize], &facts[at as usize]);
            let parent = index.parent(at);
            let above = parent.and_then(|parent| nearest[parent as usize]);
            let holds = match fact.rule {
                None => false,
                Some(Rule::Native) => true,
                Some(Rule::Handler) if fact.own_id().is_none() => above.is_none(),
                Some(Rule::Handler) => !repeats_an_ancestor(at, facts, index, &carriers),
                Some(Rule::Server | Rule::Triggered | Rule::Plain) => above.is_none(),
            };
            let is_invocation = holds && {
                let is_new = !may_repeat || seen.insert(RowId::of(span, fact));
                has_duplicates |= !is_new;
                is_new
            };
            nearest[at as usize] = if is_invocation { Some(at) } else { above };
            if !index.is_flat() {
                let carried = parent.and_then(|parent| carriers[parent as usize]);
                carriers[at as usize] = if fact.own_id().is_some() { Some(at) } else { carried };
            }
        }
        Selection { nearest, has_duplicates }
    }

    pub fn is_invocation(&self, span: u32) -> bool {
        self.nearest(span) == Some(span)
    }

    /// The invocation that a span is or stands below.
    pub fn nearest(&self, span: u32) -> Option<u32> {
        self.nearest.get(span as usize).copied().flatten()
    }
}

/// Invocations that may stand in one another in one request before ids are no longer compared; keeps hostile requests linear.
const MAX_NESTED: usize = 64;

/// Whether an ancestor carries the same `faas.invocation_id`.
fn repeats_an_ancestor(span: u32, facts: &[Facts<'_>], index: &RequestIndex, carriers: &[Option<u32>]) -> bool {
    let Some(id) = facts[span as usize].own_id() else { return false };
    let carrier_above = |span: u32| index.parent(span).and_then(|parent| carriers[parent as usize]);
    std::iter::successors(carrier_above(span), |carrier| carrier_above(*carrier))
        .take(MAX_NESTED)
        .any(|carrier| facts[carrier as usize].own_id() == Some(id))
}
