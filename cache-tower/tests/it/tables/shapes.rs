//! `http::shape`: in which shape a stored response answers.

use super::{
    ranges::parts,
    text::{fields, now},
};
use bytes::Bytes;
use cache_tower::{
    Profile,
    http::{
        conditional::Stored,
        range::Segments,
        request::RequestFacts,
        shape::{self, Fit, Held, Shape},
    },
};
use http::{StatusCode, Uri};
use serde::Deserialize;

/// A request, the stored response, and how much of its representation is held.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Case {
    method: String,
    request: Vec<String>,
    status: u16,
    stored: Vec<String>,
    /// The length in bytes, where it is known.
    length: Option<u64>,
    /// The first and the last byte of each piece, where not all is held.
    pieces: Vec<[u64; 2]>,
    /// It is all coming in.
    coming: bool,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            request: Vec::new(),
            status: 200,
            stored: Vec::new(),
            length: None,
            pieces: Vec::new(),
            coming: false,
        }
    }
}

impl Case {
    fn segments(&self) -> Segments {
        let mut segments = Segments::new(self.length);
        for [first, last] in &self.pieces {
            let size = usize::try_from(last - first + 1).expect("a piece that fits");
            let piece = Bytes::from(vec![0; size]);
            segments
                .insert(*first, piece)
                .expect("a piece that is kept");
        }
        segments
    }
}

pub(super) fn fit(case: &Case, profile: Profile) -> String {
    let headers = fields(&case.request);
    let method = case.method.parse().expect("a method");
    let request = RequestFacts::read(&method, &Uri::from_static("/"), &headers, false, profile);
    let fields = fields(&case.stored);
    let stored = Stored {
        status: StatusCode::from_u16(case.status).expect("a status"),
        headers: &fields,
        received: now(),
    };
    let segments = case.segments();
    let held = match (case.coming, case.length) {
        (true, _) => Held::Coming,
        (false, Some(length)) if segments.is_empty() => Held::Whole(length),
        (false, _) => Held::Parts(&segments),
    };
    match shape::fit(&request, &headers, stored, held, now()) {
        Fit::As(Shape::Full) => "200".to_owned(),
        Fit::As(Shape::NotModified) => "304".to_owned(),
        Fit::As(Shape::Part(span)) => format!("206, {}", parts(&[span])),
        Fit::As(Shape::Parts(spans)) => format!("206, {}", parts(&spans)),
        Fit::As(Shape::Unsatisfiable(length)) => format!("416, of {length}"),
        Fit::Lacks => "forwarded: partial".to_owned(),
        Fit::Precondition => "left to the origin".to_owned(),
    }
}
