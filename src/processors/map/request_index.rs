//! Spans of one request by their ids: who is whose parent, and an order in which parents come first.
//!
//! Built in linear time, and only for requests in which some row depends on an ancestor. A parent outside the request is no
//! parent here. Loops of parents, which no honest sender makes, are cut where they close.

use std::collections::HashMap;

use crate::signals::{Span, SpanId, TraceId};

/// No span: a root, or a parent that is not in the request.
const NONE: u32 = u32::MAX;
const UNKNOWN: u32 = u32::MAX;
const ON_PATH: u32 = u32::MAX - 1;

/// The ancestors within one request.
#[derive(Debug)]
pub struct RequestIndex {
    /// Empty where the index was not built: every span stands alone.
    parents: Vec<u32>,
    /// All spans, by depth, then as they came. Empty where it was not built.
    order: Vec<u32>,
    spans: u32,
}

impl RequestIndex {
    /// An index in which no span has a parent.
    pub fn flat(spans: &[Span<'_>]) -> RequestIndex {
        RequestIndex { parents: Vec::new(), order: Vec::new(), spans: number_of(spans.len()) }
    }

    pub fn build(spans: &[Span<'_>]) -> RequestIndex {
        let mut by_id: HashMap<(TraceId, SpanId), u32> = HashMap::with_capacity(spans.len());
        for (index, span) in spans.iter().enumerate() {
            by_id.entry((span.trace_id, span.span_id)).or_insert(number_of(index));
        }
        let parents = spans
            .iter()
            .map(|span| span.parent_span_id.and_then(|parent| by_id.get(&(span.trace_id, parent)).copied()).unwrap_or(NONE))
            .collect();
        let mut index = RequestIndex { parents, order: Vec::new(), spans: number_of(spans.len()) };
        let depths = index.measure_depths();
        index.order = by_depth(&depths);
        index
    }

    pub fn is_flat(&self) -> bool {
        self.parents.is_empty()
    }

    pub fn parent(&self, span: u32) -> Option<u32> {
        self.parents.get(span as usize).copied().filter(|parent| *parent != NONE)
    }

    /// Every span, each after its parent.
    pub fn parents_first(&self) -> impl Iterator<Item = u32> {
        (0..self.spans).map(|at| self.order.get(at as usize).copied().unwrap_or(at))
    }

    /// The depth of every span below its outermost ancestor; cuts loops.
    fn measure_depths(&mut self) -> Vec<u32> {
        let mut depths = vec![UNKNOWN; self.parents.len()];
        let mut path = Vec::new();
        for span in 0..self.spans {
            let mut current = span;
            let mut depth = 0;
            while depths[current as usize] == UNKNOWN {
                depths[current as usize] = ON_PATH;
                path.push(current);
                match self.parent(current) {
                    None => break,
                    Some(parent) if depths[parent as usize] == ON_PATH => {
                        self.parents[current as usize] = NONE;
                        break;
                    }
                    Some(parent) => current = parent,
                }
            }
            if !matches!(depths[current as usize], UNKNOWN | ON_PATH) {
                depth = depths[current as usize] + 1;
            }
            while let Some(on_path) = path.pop() {
                depths[on_path as usize] = depth;
                depth += 1;
            }
        }
        depths
    }
}

fn number_of(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}

/// A counting sort.
fn by_depth(depths: &[u32]) -> Vec<u32> {
    let deepest = depths.iter().copied().max().unwrap_or(0) as usize;
    let mut starts = vec![0_u32; deepest + 2];
    for depth in depths {
        starts[*depth as usize + 1] += 1;
    }
    for at in 1..starts.len() {
        starts[at] += starts[at - 1];
    }
    let mut order = vec![0; depths.len()];
    for (span, depth) in depths.iter().enumerate() {
        let place = &mut starts[*depth as usize];
        order[*place as usize] = number_of(span);
        *place += 1;
    }
    order
}
