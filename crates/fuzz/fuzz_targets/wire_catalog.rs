//! The catalog: what can be read can be written, and then reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use moqrelay_wire::catalog::Catalog;

fuzz_target!(|data: &[u8]| {
    let Ok(catalog) = Catalog::decode(data) else { return };
    let _opus = catalog.opus();
    let again = Catalog::decode(&catalog.to_json()).expect("our own catalog");
    assert_eq!(again, catalog);
});
