//! HTTP caching for [actix-web], behind the framework's own idiom.
//!
//! **This crate holds no code yet.** It keeps the name and the place for the adapter:
//!
//! - `HttpCache` as an actix `Transform`, so that `App::new().wrap(cache.clone())` is all it takes;
//! - policies on single resources, with `web::resource("/users/{id}").wrap(cache.policy(…))`;
//! - a `Purge` extractor, for handlers that change what is cached.
//!
//! It will be a thin layer over the engine of `cache-tower`, so that both frameworks decide alike.
//!
//! Until then, do not depend on it. Caching works today in front of
//!
//! - axum, through `cache-axum`;
//! - anything else that is a Tower service, through `cache-tower`. A service on actix-web can be
//!   cached by a small Tower proxy in front of it.
//!
//! [actix-web]: https://docs.rs/actix-web
