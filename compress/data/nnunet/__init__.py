"""nnU-Net's own way from an image to a mask, in numpy alone: what a network that it trained needs around itself."""
