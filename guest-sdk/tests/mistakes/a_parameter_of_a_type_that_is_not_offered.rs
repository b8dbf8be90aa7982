//~ 1 error
//~ a parameter cannot be a `char`
//~ there are bool, u8 to u64, i8 to i64, f64, String, and of these Vec, Option and BTreeMap<String, _>
use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {
        /// One letter.
        letter: char = 'a',
    }
}

fn main() {}
