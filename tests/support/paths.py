"""Names and paths of all kinds, for tests that try what comes."""

from hypothesis import strategies as st

from async_mirror.model import paths

RAW_NAMES = st.binary(min_size=1, max_size=255).map(lambda raw: raw.replace(b"\0", b"~").replace(b"/", b"-"))
LOCAL_NAMES = RAW_NAMES.map(paths.decode)
RAW_PATHS = st.lists(RAW_NAMES, min_size=1, max_size=5).map(b"/".join)
PATHS = RAW_PATHS.map(paths.decode)
PLAIN = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]))
