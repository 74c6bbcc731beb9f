//! How many requests of one flight may go to the origin by themselves at a time, having waited too
//! long for another. Without a limit a slow origin would get them all at once.

use cache_core::store::FlightKey;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// So many.
const PLACES: usize = 8;

#[derive(Debug, Default, Clone)]
pub(crate) struct Alone(Arc<Mutex<HashMap<FlightKey, usize>>>);

/// One of the places, until it is dropped.
pub(crate) struct Place {
    alone: Alone,
    flight: FlightKey,
}

impl Alone {
    pub(crate) fn enter(&self, flight: &FlightKey) -> Option<Place> {
        self.change(|taken| {
            let count = taken.entry(flight.clone()).or_default();
            let free = *count < PLACES;
            *count += usize::from(free);
            free
        })
        .then(|| Place {
            alone: self.clone(),
            flight: flight.clone(),
        })
    }

    fn change<R>(&self, change: impl FnOnce(&mut HashMap<FlightKey, usize>) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.alone.change(|taken| {
            if let Some(count) = taken.get_mut(&self.flight) {
                *count -= 1;
                if *count == 0 {
                    taken.remove(&self.flight);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cache_core::Key;

    #[test]
    fn so_many_may_go_and_places_are_given_back() {
        let alone = Alone::default();
        let flight = FlightKey {
            key: Key::from(&b"k"[..]),
            lane: None,
        };
        let places: Vec<_> = (0..PLACES).map(|_| alone.enter(&flight).unwrap()).collect();
        assert!(alone.enter(&flight).is_none());
        drop(places);
        assert!(alone.enter(&flight).is_some());
        assert!(alone.change(|taken| taken.is_empty()));
    }
}
