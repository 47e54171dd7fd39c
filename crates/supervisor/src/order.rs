//! Who is started before whom. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use piton_model::{Name, Process};

/// Names on a circle of dependencies, the first one again at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Circle(pub(crate) Vec<String>);

/// All processes, each after what it depends on; lower priorities first where nothing else decides, then by name.
/// Dependencies that are not declared decide nothing here.
pub(crate) fn starting_order(processes: &BTreeMap<Name, Arc<Process>>) -> Result<Vec<Name>, Circle> {
    let mut missing: BTreeMap<&Name, BTreeSet<&Name>> =
        processes.iter().map(|(name, process)| (name, declared_dependencies(process, processes).collect())).collect();
    let dependents = dependents(processes);
    let rank = |name: &Name| processes.get(name).map_or(0, |process| process.priority);
    let free = missing.iter().filter(|(_, needs)| needs.is_empty());
    let mut ready: BTreeSet<(i32, Name)> = free.map(|(name, _)| (rank(name), (*name).clone())).collect();
    let mut order = Vec::with_capacity(processes.len());
    while let Some((_, name)) = ready.pop_first() {
        missing.remove(&name);
        for dependent in dependents.get(&name).into_iter().flatten() {
            if let Some(needs) = missing.get_mut(dependent)
                && needs.remove(&name)
                && needs.is_empty()
            {
                ready.insert((rank(dependent), dependent.clone()));
            }
        }
        order.push(name);
    }
    if missing.is_empty() { Ok(order) } else { Err(circle(&missing)) }
}

/// Who depends directly on each process.
pub(crate) fn dependents(processes: &BTreeMap<Name, Arc<Process>>) -> BTreeMap<Name, BTreeSet<Name>> {
    let mut dependents: BTreeMap<Name, BTreeSet<Name>> = BTreeMap::new();
    for (name, process) in processes {
        for dependency in &process.depends_on {
            dependents.entry(dependency.name.clone()).or_default().insert(name.clone());
        }
    }
    dependents
}

/// These and all that they lead to, by way of the edges.
pub(crate) fn reachable<'a, I>(from: impl IntoIterator<Item = Name>, edges: impl Fn(&Name) -> I) -> BTreeSet<Name>
where
    I: IntoIterator<Item = &'a Name>,
{
    let mut left: Vec<Name> = from.into_iter().collect();
    let mut seen = BTreeSet::new();
    while let Some(name) = left.pop() {
        if !seen.contains(&name) {
            left.extend(edges(&name).into_iter().cloned());
            seen.insert(name);
        }
    }
    seen
}

fn declared_dependencies<'a>(
    process: &'a Process,
    processes: &'a BTreeMap<Name, Arc<Process>>,
) -> impl Iterator<Item = &'a Name> {
    process.depends_on.iter().map(|dependency| &dependency.name).filter(|name| processes.contains_key(*name))
}

/// Each of these waits for another one of them: whoever follows that must come back to where it was.
fn circle(missing: &BTreeMap<&Name, BTreeSet<&Name>>) -> Circle {
    let mut path: Vec<&Name> = Vec::new();
    let mut next = missing.keys().next().copied();
    while let Some(name) = next {
        if let Some(start) = path.iter().position(|seen| *seen == name) {
            path.push(name);
            return Circle(path[start..].iter().map(ToString::to_string).collect());
        }
        path.push(name);
        next = missing.get(name).and_then(|needs| needs.first().copied());
    }
    Circle(path.iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use piton_model::{Dependency, DependencyCondition, Program};
    use proptest::prelude::*;

    use super::*;

    fn processes(edges: &[(u8, u8)], priorities: &[i32]) -> BTreeMap<Name, Arc<Process>> {
        let name = |number: usize| Name::parse(&format!("p{number}")).unwrap();
        let process = |(number, priority): (usize, &i32)| {
            let mut process = Process::new(name(number), Program::Shell { line: "x".to_owned() });
            process.priority = *priority;
            for (_, to) in edges.iter().filter(|(from, _)| usize::from(*from) == number) {
                let condition = DependencyCondition::Started;
                process.depends_on.push(Dependency { name: name((*to).into()), condition });
            }
            (process.name.clone(), Arc::new(process))
        };
        priorities.iter().enumerate().map(process).collect()
    }

    proptest! {
        #[test]
        fn everybody_comes_once_and_after_what_it_needs(
            edges in prop::collection::vec((0u8..8, 0u8..8), 0..16),
            priorities in prop::collection::vec(-2i32..3, 1..8),
        ) {
            let processes = processes(&edges, &priorities);
            match starting_order(&processes) {
                Ok(order) => {
                    prop_assert_eq!(order.iter().collect::<BTreeSet<_>>(), processes.keys().collect::<BTreeSet<_>>());
                    prop_assert_eq!(order.len(), processes.len());
                    let place = |name: &Name| order.iter().position(|other| other == name);
                    for process in processes.values() {
                        for needed in declared_dependencies(process, &processes) {
                            prop_assert!(place(needed) < place(&process.name));
                        }
                    }
                }
                Err(Circle(names)) => {
                    prop_assert!(names.len() > 1 && names.first() == names.last());
                    for pair in names.windows(2) {
                        let process = &processes[pair[0].as_str()];
                        prop_assert!(process.depends_on.iter().any(|needed| needed.name.as_str() == pair[1]));
                    }
                }
            }
        }

        #[test]
        fn priorities_decide_among_equals(priorities in prop::collection::vec(-2i32..3, 1..8)) {
            let processes = processes(&[], &priorities);
            let order = starting_order(&processes).unwrap();
            let ranks: Vec<i32> = order.iter().map(|name| processes[name].priority).collect();
            prop_assert!(ranks.is_sorted());
        }
    }

    #[test]
    fn a_circle_is_named() {
        let circle = starting_order(&processes(&[(0, 1), (1, 2), (2, 1)], &[0, 0, 0])).unwrap_err();
        assert_eq!(circle, Circle(vec!["p1".into(), "p2".into(), "p1".into()]));
        let itself = starting_order(&processes(&[(0, 0)], &[0])).unwrap_err();
        assert_eq!(itself, Circle(vec!["p0".into(), "p0".into()]));
        assert!(starting_order(&processes(&[(0, 7)], &[0])).is_ok(), "an unknown one decides nothing");
    }
}
