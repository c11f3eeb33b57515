"""What is in the network?

Holds: the UNet from scratch, its layers traced, its attention seen, its features reused.
Imports: core to diffusion.
Start reading: unet.py, which reads in one sitting.
"""
