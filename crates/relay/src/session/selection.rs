//! Which objects pass the range filters of a request (draft-19 section 5.1.3).

use moqrelay_moqt::{
    Candidate, Draft, RangeFilter, Selector,
    data::{FetchObject, ObjectStatus},
};

use crate::track::{Object, SubgroupObject};

/// Ranges in all range filters of one request: more than anyone has tracks or layers to choose from. Each object is
/// compared with all of them.
pub(super) const FILTER_RANGES_MAX: usize = 32;

/// The range filters of a subscription.
#[derive(Debug, Default)]
pub(super) struct Selection {
    filters: Vec<RangeFilter>,
    /// Mostly there is none.
    selector: Option<Box<Selector>>,
}

impl Selection {
    /// The session has judged the filters.
    pub(super) fn new(filters: &[RangeFilter]) -> Self {
        let mut selection = Self::default();
        selection.update(filters);
        selection
    }

    /// Replaces the filters of the kinds that are named.
    pub(super) fn update(&mut self, update: &[RangeFilter]) {
        if update.is_empty() {
            return;
        }
        RangeFilter::update(&mut self.filters, update);
        let selector = Selector::new(&self.filters, FILTER_RANGES_MAX);
        self.selector = selector.unwrap_or_default().map(Box::new);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.selector.is_none()
    }

    /// `priority`: the track's, where the object names none.
    pub(super) fn passes_datagram(&self, object: &Object, priority: u8) -> bool {
        let Some(selector) = &self.selector else {
            return true;
        };
        let candidate = Candidate {
            subgroup: object.subgroup,
            object: object.id,
            priority: object.priority.unwrap_or(priority),
            properties: &object.properties,
        };
        // Ends are no objects that one could want or not.
        object.status != ObjectStatus::Normal || selector.passes(Draft::D18, candidate)
    }

    /// `priority`: the track's, where the subgroup names none.
    pub(super) fn passes_object(&self, object: &SubgroupObject, priority: u8) -> bool {
        let Some(selector) = &self.selector else {
            return true;
        };
        let candidate = Candidate {
            subgroup: Some(object.subgroup.id),
            object: object.object.id,
            priority: object.subgroup.priority.unwrap_or(priority),
            properties: &object.object.properties,
        };
        object.object.status != ObjectStatus::Normal || selector.passes(Draft::D18, candidate)
    }

    pub(super) fn passes_fetched(&self, object: &FetchObject) -> bool {
        let Some(selector) = &self.selector else {
            return true;
        };
        let candidate = Candidate {
            subgroup: object.subgroup,
            object: object.location.object,
            priority: object.priority,
            properties: &object.properties,
        };
        selector.passes(Draft::D18, candidate)
    }
}
