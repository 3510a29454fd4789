SELECT meter FROM series GROUP BY 1 ORDER BY meter = 'net.tx_bytes' DESC, meter
