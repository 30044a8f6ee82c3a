//! The designed stages of a ratio and profile, and the cache of those used lately. Knows nothing of streams.

use super::bank::Bank;
use super::plan::{Key, Spec, plan};
use super::rows::Rows;
use std::sync::{Arc, Mutex, PoisonError};

/// Most coefficients that the cache keeps alive by itself (16 MiB of f32).
const MAX_CACHED_COEFFICIENTS: usize = 1 << 22;

/// Filters that were designed lately, the last used one last. A filter depends on nothing but its key.
static CACHE: Mutex<Vec<(Key, Arc<Filter>)>> = Mutex::new(Vec::new());

/// A stage's filter, in the form that suits its number of phases.
#[derive(Debug)]
pub(super) enum Design {
    Bank(Arc<Bank>),
    Rows(Arc<Rows>),
}

/// The stages for one ratio and profile, first to last.
#[derive(Debug)]
pub(super) struct Filter {
    pub stages: Vec<(Spec, Design)>,
}

impl Filter {
    /// The filter for `key`, from the cache if it was used lately.
    pub fn cached(key: Key) -> Arc<Self> {
        if let Some(filter) = recall(key) {
            return filter;
        }
        // Designed outside the lock: two threads may do the same work, but none waits for another's.
        let stages = plan(key).into_iter().map(|spec| (spec, Design::new(&spec))).collect();
        let filter = Arc::new(Self { stages });
        remember(key, &filter);
        filter
    }

    /// Frames of the first stage's input that the stages look ahead together.
    pub fn ahead(&self) -> f64 {
        let (mut sum, mut scale) = (0.0, 1.0);
        for (spec, design) in &self.stages {
            sum += design.ahead() as f64 * scale;
            scale *= f64::from(spec.down) / f64::from(spec.up);
        }
        sum
    }

    fn size(&self) -> usize {
        self.stages.iter().map(|(_, design)| design.size()).sum()
    }
}

impl Design {
    fn new(spec: &Spec) -> Self {
        if spec.is_bank() {
            Self::Bank(Arc::new(Bank::design(spec)))
        } else {
            Self::Rows(Arc::new(Rows::design(spec)))
        }
    }

    pub fn ahead(&self) -> usize {
        match self {
            Self::Bank(bank) => bank.ahead(),
            Self::Rows(rows) => rows.ahead(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Bank(bank) => bank.size(),
            Self::Rows(rows) => rows.size(),
        }
    }
}

fn recall(key: Key) -> Option<Arc<Filter>> {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let index = cache.iter().position(|(cached, _)| *cached == key)?;
    let entry = cache.remove(index);
    let filter = Arc::clone(&entry.1);
    cache.push(entry);
    Some(filter)
}

/// Adds a filter, and drops those that were not used for longest to stay within the bound.
fn remember(key: Key, filter: &Arc<Filter>) {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    cache.retain(|(cached, _)| *cached != key);
    cache.push((key, Arc::clone(filter)));
    let mut total: usize = cache.iter().map(|(_, filter)| filter.size()).sum();
    while total > MAX_CACHED_COEFFICIENTS && cache.len() > 1 {
        total -= cache.remove(0).1.size();
    }
}
