"""What the scripts of all areas share: taking turns, making inputs, recording results."""
