"""The list of hostile inputs to all commands that read a user's files: add a row to the file that it belongs to."""

from __future__ import annotations

from hostile_bundles import BUNDLES
from hostile_cards import METADATA
from hostile_folders import FOLDERS
from hostile_images import IMAGES
from hostile_masks import MASKS
from hostile_models import MODELS
from hostile_outputs import OUTPUTS
from hostile_ships import SHIPS

ROWS = (*MODELS, *METADATA, *IMAGES, *FOLDERS, *MASKS, *OUTPUTS, *SHIPS, *BUNDLES)
