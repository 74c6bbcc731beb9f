//! Rules said a second time, as plainly as can be, and compared with the rules themselves.

mod freshened;
mod lookup;
