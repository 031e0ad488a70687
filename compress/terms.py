"""Words and sentences that every document says alike."""

DEFAULT_FILE = "cardiocompress.yaml"
"""The configuration that commands read where none is named."""

BERNARD = (
    'O. Bernard, A. Lalande, C. Zotti, F. Cervenansky, et al., "Deep Learning Techniques for Automatic MRI Cardiac '
    'Multi-structures Segmentation and Diagnosis: Is the Problem Solved?", IEEE Transactions on Medical Imaging '
    "37(11):2514-2525, 2018, doi 10.1109/TMI.2018.2837502."
)
NO_DEVICE = "It is no medical device: it is cleared for no clinical use, and its results need a qualified reader."
