# SPDX-License-Identifier: Apache-2.0
"""What becomes of a scenario's figures: JSON that says where they come from, a table, an SVG plot."""
