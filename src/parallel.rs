//! Work over the items of a list, on the threads of the rayon pool that it is called on.
//!
//! All of it goes through [`each`], which is compiled once: an iterator of rayon's is compiled anew
//! for each closure and each cell type that it is used with.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::error::Result;

/// Does the work of each number below `count`. After an error no more is begun, and one of the
/// errors is given.
pub(crate) fn each(count: usize, work: &(dyn Fn(usize) -> Result<()> + Sync)) -> Result<()> {
    match count {
        0 => Ok(()),
        1 => work(0),
        _ => (0..count)
            .into_par_iter()
            .with_max_len(1)
            .try_for_each(work),
    }
}

/// What becomes of each item, in their order.
pub(crate) fn map<I: Sync, T: Send>(
    items: &[I],
    of: impl Fn(&I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let made: Vec<Mutex<Option<T>>> = items.iter().map(|_| Mutex::new(None)).collect();
    each(items.len(), &|number| {
        put(&made[number], of(&items[number])?);
        Ok(())
    })?;
    Ok(made.into_iter().filter_map(taken).collect())
}

/// The same of items that are used up.
pub(crate) fn map_owned<I: Send, T: Send>(
    items: Vec<I>,
    of: impl Fn(I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let items: Vec<Mutex<Option<I>>> = items
        .into_iter()
        .map(|item| Mutex::new(Some(item)))
        .collect();
    let made = map(&items, |item| {
        item.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .map(&of)
            .transpose()
    })?;
    Ok(made.into_iter().flatten().collect())
}

/// How many of `count` items a group has if each thread gets so many groups. At least one.
pub(crate) fn group_size(count: usize, groups: usize) -> usize {
    count.div_ceil(groups * rayon::current_num_threads()).max(1)
}

/// What becomes of groups of items that are used up, in their order, so many in each.
pub(crate) fn map_groups<I: Send, T: Send>(
    items: Vec<I>,
    size: usize,
    of: impl Fn(Vec<I>) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let (mut groups, mut items) = (
        Vec::with_capacity(items.len().div_ceil(size)),
        items.into_iter(),
    );
    loop {
        let group: Vec<I> = items.by_ref().take(size).collect();
        if group.is_empty() {
            return map_owned(groups, of);
        }
        groups.push(group);
    }
}

fn put<T>(slot: &Mutex<Option<T>>, value: T) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

fn taken<T>(slot: Mutex<Option<T>>) -> Option<T> {
    slot.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let items: Vec<u32> = (0..1000).collect();
        let doubled: Vec<u32> = items.iter().map(|item| item * 2).collect();
        assert_eq!(map(&items, |item| Ok(item * 2)).expect("no error"), doubled);
        assert_eq!(
            map_owned(items, |item| Ok(item * 2)).expect("no error"),
            doubled
        );
    }

    #[test]
    fn an_error_of_any_item_is_the_error_of_all() {
        for failing in [0, 7, 99] {
            let of = |item: &usize| {
                if *item == failing {
                    Err(Error::invalid(format!("item {item}")))
                } else {
                    Ok(*item)
                }
            };
            let error = map(&(0..100).collect::<Vec<_>>(), of).expect_err("one fails");
            assert!(
                error.to_string().contains(&format!("item {failing}")),
                "{error}"
            );
        }
    }
}
