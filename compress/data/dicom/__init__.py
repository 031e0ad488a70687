"""Short-axis stacks out of folders of DICOM files. pydicom is imported where a file is read, never before."""
