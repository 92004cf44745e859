//! A first-in first-out queue that costs nothing while it holds at most one item, as nearly every stream's does.

use std::collections::VecDeque;

#[derive(Debug)]
pub(crate) struct Queue<T> {
    first: Option<T>,
    rest: VecDeque<T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            first: None,
            rest: VecDeque::new(),
        }
    }
}

impl<T> Queue<T> {
    pub(crate) fn push(&mut self, item: T) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.rest.push_back(item);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.first.take();
        self.first = self.rest.pop_front();
        // An idle stream gives back what a burst made it take.
        if self.rest.is_empty() && self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
        item
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.first.as_mut()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.rest)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_leave_in_the_order_they_came() {
        let mut queue = Queue::default();
        for round in 0..4 {
            (0..round).for_each(|item| queue.push(item));
            let popped: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
            assert_eq!(popped, (0..round).collect::<Vec<_>>());
            assert!(queue.is_empty());
        }
    }
}
