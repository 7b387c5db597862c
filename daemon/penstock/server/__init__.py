"""Who may ask, and in which protocol: door, guard, and the surfaces behind them."""
