//! What to load and what to retire next: a pure function of what serves, what is there, and what is wanted.

use std::collections::{BTreeMap, BTreeSet};

use super::{Policies, Policy};
use crate::name::{ModelName, Version};

/// Every version there is, each with the stamp of its contents.
pub(super) type Scan = BTreeMap<ModelName, BTreeMap<Version, u64>>;

/// What is known of each version.
pub(super) type Known = BTreeMap<ModelName, BTreeMap<Version, Facts>>;

/// What is known of a version, by the stamps of its contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// These contents answer.
    pub(super) serving: Option<u64>,
    /// These contents were refused.
    pub(super) refused: Option<u64>,
}

/// What to do next. Loading may fail, and what follows depends on it, so there is one load at a time: do it, note
/// what came of it, and plan again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) load: Option<Load>,
    pub(super) retire: Vec<(ModelName, Version)>,
}

/// A version to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) model: ModelName,
    pub(super) version: Version,
    pub(super) stamp: u64,
}

/// What is to serve: what the policies want of every model but those that were unloaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    pub(super) policies: &'a Policies,
    pub(super) unloaded: &'a BTreeSet<ModelName>,
}

/// Plans the next actions. A model keeps all that it serves until nothing of it is left to load.
pub(super) fn plan(known: &Known, scan: &Scan, wish: Wish<'_>) -> Plan {
    let (nothing_known, nothing_there) = (BTreeMap::new(), BTreeMap::new());
    let mut plan = Plan::default();
    for model in known.keys().chain(scan.keys().filter(|model| !known.contains_key(*model))) {
        let known = known.get(model).unwrap_or(&nothing_known);
        let there = scan.get(model).unwrap_or(&nothing_there);
        let wanted = if wish.unloaded.contains(model) {
            Ok(Vec::new())
        } else {
            wanted(known, there, wish.policies.of(model))
        };
        match wanted {
            Err((version, stamp)) => {
                let load = Load { model: model.clone(), version, stamp };
                plan.load.get_or_insert(load);
            }
            Ok(wanted) => {
                let serving = known.iter().filter(|(_, facts)| facts.serving.is_some());
                let unwanted = serving.filter(|(version, _)| !wanted.contains(version));
                plan.retire.extend(unwanted.map(|(version, _)| (model.clone(), *version)));
            }
        }
    }
    plan
}

/// The versions that are to serve, newest first, or the first one of which it must be seen whether it can.
fn wanted(
    known: &BTreeMap<Version, Facts>,
    there: &BTreeMap<Version, u64>,
    policy: &Policy,
) -> Result<Vec<Version>, (Version, u64)> {
    let mut wanted = Vec::new();
    for (&version, &stamp) in there.iter().rev().filter(|(version, _)| policy.considers(**version)) {
        if wanted.len() == policy.count_max() {
            break;
        }
        let facts = known.get(&version).copied().unwrap_or_default();
        let settled = facts.serving == Some(stamp) || facts.refused == Some(stamp);
        match (settled, facts.serving) {
            (false, _) => return Err((version, stamp)),
            // Refused contents leave the ones before in place, if there are any.
            (true, Some(_)) => wanted.push(version),
            (true, None) => {}
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn version(number: u32) -> Version {
        number.to_string().parse().unwrap()
    }

    fn latest(count: usize) -> Policy {
        Policy::Latest(NonZeroUsize::new(count).unwrap())
    }

    fn these(numbers: &[u32]) -> Policy {
        Policy::Versions(numbers.iter().copied().map(version).collect())
    }

    /// Facts as (version, serving, refused), contents as (version, stamp) → load and retired versions.
    fn planned(
        policy: Policy,
        facts: &[(u32, Option<u64>, Option<u64>)],
        there: &[(u32, u64)],
    ) -> (Option<(u32, u64)>, Vec<u32>) {
        let model: ModelName = "m".parse().unwrap();
        let facts =
            facts.iter().map(|&(number, serving, refused)| (version(number), Facts { serving, refused }));
        let known = Known::from([(model.clone(), facts.collect())]);
        let mut scan = Scan::new();
        if !there.is_empty() {
            scan.insert(model, there.iter().map(|&(number, stamp)| (version(number), stamp)).collect());
        }
        let policies = Policies { default: policy, models: BTreeMap::new() };
        let plan = plan(&known, &scan, Wish { policies: &policies, unloaded: &BTreeSet::new() });
        let load = plan.load.map(|load| (load.version.get(), load.stamp));
        (load, plan.retire.iter().map(|(_, version)| version.get()).collect())
    }

    #[test]
    fn the_newest_that_load_are_wanted_and_older_ones_serve_until_then() {
        let (fresh, serves, refused) = ((None, None), (Some(7), None), (None, Some(7)));
        let cases = [
            ("the newest first", latest(1), vec![(1, fresh), (2, fresh)], Some((2, 7)), vec![]),
            ("nothing to do", latest(1), vec![(1, fresh), (2, serves)], None, vec![]),
            ("the older serves on", latest(1), vec![(1, serves), (2, fresh)], Some((2, 7)), vec![]),
            ("the older is retired", latest(1), vec![(1, serves), (2, serves)], None, vec![1]),
            ("a refused one does not count", latest(1), vec![(1, serves), (2, refused)], None, vec![]),
            ("the next in line", latest(1), vec![(1, fresh), (2, refused)], Some((1, 7)), vec![]),
            ("two of three", latest(2), vec![(1, serves), (2, serves), (3, fresh)], Some((3, 7)), vec![]),
            ("two of three", latest(2), vec![(1, serves), (2, serves), (3, serves)], None, vec![1]),
            ("all refused", latest(1), vec![(1, refused), (2, refused)], None, vec![]),
            ("a list", these(&[1]), vec![(1, fresh), (2, fresh)], Some((1, 7)), vec![]),
            ("a list", these(&[1]), vec![(1, serves), (2, serves)], None, vec![2]),
            ("a list that names what is not there", these(&[1, 9]), vec![(1, serves)], None, vec![]),
        ];
        for (case, policy, facts, load, retire) in cases {
            let there: Vec<_> = facts.iter().map(|(number, _)| (*number, 7)).collect();
            let facts: Vec<_> =
                facts.iter().map(|&(number, (serving, refused))| (number, serving, refused)).collect();
            assert_eq!(planned(policy, &facts, &there), (load, retire), "{case}");
        }
    }

    #[test]
    fn changed_contents_are_loaded_once_and_the_ones_before_serve_on() {
        assert_eq!(planned(latest(1), &[(1, Some(7), None)], &[(1, 8)]), (Some((1, 8)), vec![]));
        assert_eq!(planned(latest(1), &[(1, Some(7), Some(8))], &[(1, 8)]), (None, vec![]));
        assert_eq!(planned(latest(1), &[(1, Some(7), Some(8))], &[(1, 9)]), (Some((1, 9)), vec![]));
        assert_eq!(planned(latest(1), &[(1, None, Some(8))], &[(1, 9)]), (Some((1, 9)), vec![]));
    }

    #[test]
    fn what_was_unloaded_is_retired_and_not_loaded() {
        let model: ModelName = "m".parse().unwrap();
        let scan = Scan::from([(model.clone(), BTreeMap::from([(version(1), 7), (version(2), 7)]))]);
        let serving = Facts { serving: Some(7), refused: None };
        let known = Known::from([(model.clone(), BTreeMap::from([(version(1), serving)]))]);
        let policies = Policies { default: latest(1), models: BTreeMap::new() };
        let unloaded = BTreeSet::from([model.clone()]);
        let plan = plan(&known, &scan, Wish { policies: &policies, unloaded: &unloaded });
        assert_eq!(plan, Plan { load: None, retire: vec![(model, version(1))] });
    }

    #[test]
    fn what_is_removed_is_retired_when_its_successor_is_ready() {
        assert_eq!(planned(latest(1), &[(2, Some(7), None)], &[]), (None, vec![2]));
        assert_eq!(planned(latest(1), &[(2, Some(7), None)], &[(1, 7)]), (Some((1, 7)), vec![]));
        assert_eq!(planned(latest(1), &[(1, Some(7), None), (2, Some(7), None)], &[(1, 7)]), (None, vec![2]));
    }
}
