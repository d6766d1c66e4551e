"""Settings of Sphinx for `make docs`. The pages load nothing that is not beside them."""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path[:0] = [str(Path(__file__).parent / "extensions"), str(Path(__file__).parents[1])]

from bayescam import __version__  # noqa: E402

project = "bayescam"
author = "The bayescam authors"
copyright = f"2026, {author}"  # noqa: A001
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "generated_pages",
    "docstring_markup",
    "mathml",
    "offline",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist", "html_image"]
myst_heading_anchors = 3

default_role = "py:obj"  # docstrings put names between single backticks
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
autodoc_type_aliases = {"Array": "Array", "ArrayLike": "ArrayLike"}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
add_module_names = False
toc_object_entries = False  # each name has a heading already

highlight_language = "text"
html_theme = "furo"
html_title = f"bayescam {version}"
html_math_renderer = "mathml"
html_static_path = ["style"]
html_css_files = ["bayescam.css"]
html_show_sourcelink = False
html_copy_source = False
pygments_style = "default"
pygments_dark_style = "github-dark"
