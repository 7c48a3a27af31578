"""What-if: routes any orders against any network, without broker or daemon."""
