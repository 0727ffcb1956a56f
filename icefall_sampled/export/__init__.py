"""A trained model leaves its recipe.

python -m icefall_sampled.export --exp-dir exp/stateless --out exported
"""

from icefall_sampled.export.folder import ExportError, load_folder, open_model, save_folder

__all__ = ["ExportError", "load_folder", "open_model", "save_folder"]
