//! One copy of each policy in use: layers of equal policies are one owner of what they store.
//!
//! A framework may build its routes several times, as once per worker, and with them their layers.

use crate::policy::Policy;
use std::sync::{Arc, Mutex, PoisonError, Weak};

#[derive(Debug, Default)]
pub(crate) struct Policies(Mutex<Vec<Weak<Policy>>>);

impl Policies {
    /// The policy in use that equals this one, or this one from now on.
    pub(crate) fn one(&self, policy: Policy) -> Arc<Policy> {
        let mut policies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = policies
            .iter()
            .filter_map(Weak::upgrade)
            .find(|known| **known == policy)
        {
            return known;
        }
        policies.retain(|known| known.strong_count() > 0);
        let policy = Arc::new(policy);
        policies.push(Arc::downgrade(&policy));
        policy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cache_core::policy::hours;

    #[test]
    fn equal_policies_are_one_while_they_are_in_use() {
        let policies = Policies::default();
        let first = policies.one(Policy::ttl(hours(1)));
        assert!(Arc::ptr_eq(&first, &policies.one(Policy::ttl(hours(1)))));
        let other = policies.one(Policy::ttl(hours(1)).group("g"));
        assert!(!Arc::ptr_eq(&first, &other));
        drop((first, other));
        let _third = policies.one(Policy::off());
        assert_eq!(policies.0.lock().unwrap().len(), 1);
    }
}
