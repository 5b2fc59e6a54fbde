"""Contents of the pages in words and rows, without Streamlit, which draws them."""
